#include "textflag.h"

// func cycles() uint64
TEXT ·cycles(SB), NOSPLIT, $0-8
	RDTSC
	SHLQ $32, DX
	ORQ  DX, AX
	MOVQ AX, ret+0(FP)
	RET

// func cyclesFenced() uint64
TEXT ·cyclesFenced(SB), NOSPLIT, $0-8
	LFENCE
	RDTSC
	LFENCE
	SHLQ $32, DX
	ORQ  DX, AX
	MOVQ AX, ret+0(FP)
	RET

// func cpuRandom() (x, y uint64, ok bool)
TEXT ·cpuRandom(SB), NOSPLIT, $0-17
	RDRANDQ AX
	SETCS   CL
	RDRANDQ BX
	SETCS   DL
	ANDB    CL, DL
	MOVQ    AX, x+0(FP)
	MOVQ    BX, y+8(FP)
	MOVB    DL, ok+16(FP)
	RET
