#include "textflag.h"

// func cycles() uint64
TEXT ·cycles(SB), NOSPLIT, $0-8
	RDTSC
	SHLQ $32, DX
	ORQ  DX, AX
	MOVQ AX, ret+0(FP)
	RET

// func cpuFeatures() (ecx uint32)
TEXT ·cpuFeatures(SB), NOSPLIT, $0-4
	MOVL $1, AX
	XORL CX, CX
	CPUID
	MOVL CX, ecx+0(FP)
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

// func clearVectors()
TEXT ·clearVectors(SB), NOSPLIT, $0-0
	PXOR X0, X0
	PXOR X1, X1
	PXOR X2, X2
	PXOR X3, X3
	PXOR X4, X4
	PXOR X5, X5
	PXOR X6, X6
	PXOR X7, X7
	PXOR X8, X8
	PXOR X9, X9
	PXOR X10, X10
	PXOR X11, X11
	PXOR X12, X12
	PXOR X13, X13
	PXOR X14, X14
	PXOR X15, X15
	RET

// func growStack()
TEXT ·growStack(SB), 0, $1024-0
	RET

// func clearStack()
TEXT ·clearStack(SB), 0, $1024-0
	MOVQ SP, DI
	MOVQ $(1024/64), CX
	PXOR X15, X15
loop:
	MOVUPS X15, (DI)
	MOVUPS X15, 16(DI)
	MOVUPS X15, 32(DI)
	MOVUPS X15, 48(DI)
	ADDQ   $64, DI
	DECQ   CX
	JNZ    loop
	RET
