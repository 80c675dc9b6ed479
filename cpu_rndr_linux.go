//go:build arm64

package rand

import "golang.org/x/sys/unix"

// hwcap2RNG is HWCAP2_RNG of Linux arch/arm64/include/uapi/asm/hwcap.h: the CPU
// has RNDR and the kernel lets user space read it.
const hwcap2RNG = 1 << 16

// atHWCAP2 is AT_HWCAP2 of Linux include/uapi/linux/auxvec.h.
const atHWCAP2 = 26

func hasCPURandom() bool {
	auxv, err := unix.Auxv()
	if err != nil {
		return false
	}
	for _, entry := range auxv {
		if entry[0] == atHWCAP2 {
			return entry[1]&hwcap2RNG != 0
		}
	}
	return false
}
