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
	BTL  $27, CX // OSXSAVE: XGETBV may be executed
	JCC  noAVX
	MOVL CX, BX
	XORL CX, CX
	XGETBV
	MOVL BX, CX
	ANDL $6, AX
	CMPL AX, $6 // the system keeps XMM and YMM (Intel SDM, 14.3)
	JEQ  done

noAVX:
	ANDL $~(1<<28), CX

done:
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
TEXT ·growStack(SB), 0, $1088-0
	RET

// func clearStack()
TEXT ·clearStack(SB), 0, $1088-0
	LEAQ  63(SP), DI // stores across cache lines take twice as long
	ANDQ  $~63, DI
	MOVQ  $(1024/64), CX
	TESTL $(1<<28), ·features(SB)
	JZ    without

	VPXOR   Y15, Y15, Y15
	VMOVDQU Y15, 1024(SP)
	VMOVDQU Y15, 1056(SP)

avx:
	VMOVDQA Y15, (DI)
	VMOVDQA Y15, 32(DI)
	ADDQ    $64, DI
	DECQ    CX
	JNZ     avx
	VZEROUPPER
	RET

without:
	PXOR   X15, X15
	MOVUPS X15, 1024(SP)
	MOVUPS X15, 1040(SP)
	MOVUPS X15, 1056(SP)
	MOVUPS X15, 1072(SP)

sse:
	MOVAPS X15, (DI)
	MOVAPS X15, 16(DI)
	MOVAPS X15, 32(DI)
	MOVAPS X15, 48(DI)
	ADDQ   $64, DI
	DECQ   CX
	JNZ    sse
	RET
