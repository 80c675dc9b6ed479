//go:build linux || darwin || windows || freebsd

#include "textflag.h"

// func cycles() uint64
TEXT ·cycles(SB), NOSPLIT, $0-8
	MRS  CNTVCT_EL0, R0
	MOVD R0, ret+0(FP)
	RET

// func cyclesFenced() uint64
TEXT ·cyclesFenced(SB), NOSPLIT, $0-8
	ISB  $15
	MRS  CNTVCT_EL0, R0
	ISB  $15
	MOVD R0, ret+0(FP)
	RET

// func cpuRandom() (x, y uint64, ok bool)
TEXT ·cpuRandom(SB), NOSPLIT, $0-17
	WORD $0xd53b2400 // MRS RNDR, R0: the Z flag is set where no number came
	CSET NE, R2
	WORD $0xd53b2401 // MRS RNDR, R1
	CSET NE, R3
	AND  R2, R3
	MOVD R0, x+0(FP)
	MOVD R1, y+8(FP)
	MOVB R3, ok+16(FP)
	RET
