package rand

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// systemStrict fills b from the kernel, and returns an error where crypto/rand's Reader
// would end the process. It waits until the kernel's generator is seeded. The system call
// itself is faster here than the vDSO, which maps memory at its first use in a thread.
func systemStrict(b []byte) error {
	for len(b) > 0 {
		// The kernel writes at most len(b) bytes there before the call returns.
		n, _, errno := unix.Syscall(unix.SYS_GETRANDOM, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), 0)
		switch {
		case errno == 0 && n > 0:
			b = b[n:]
		case errno == unix.EINTR:
		case errno == unix.ENOSYS: // before Linux 3.17, and under some sandboxes
			return readEntropy(systemReader, b)
		default:
			return fmt.Errorf("%w: getrandom: %w", ErrEntropy, errno)
		}
	}
	return nil
}

// systemReady fills b if the kernel's generator is seeded, and does not wait for that.
func systemReady(b []byte) (ok bool) {
	n, err := unix.Getrandom(b, unix.GRND_NONBLOCK)
	return err == nil && n == len(b)
}
