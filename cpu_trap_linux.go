//go:build amd64 || arm64

package rand

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// counterTraps reports whether to read the counter raises SIGSEGV in this process, PR_GET_TSC
// of prctl(2); kernels for arm64 that cannot forbid it say EINVAL. Go could not survive
// finding out by trying.
func counterTraps() bool {
	var mode int32
	// The kernel writes an int through the pointer while mode is alive.
	err := unix.Prctl(unix.PR_GET_TSC, uintptr(unsafe.Pointer(&mode)), 0, 0, 0)
	return err == nil && mode == unix.PR_TSC_SIGSEGV
}
