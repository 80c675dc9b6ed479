//go:build !race

#include "textflag.h"

// func storeRelease(p *uint64, x uint64)
TEXT ·storeRelease(SB), NOSPLIT, $0-16
	MOVQ p+0(FP), AX
	MOVQ x+8(FP), CX
	MOVQ CX, (AX)
	RET
