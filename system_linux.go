package rand

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// systemStrict fills b from the kernel, and returns an error where crypto/rand's Reader
// would end the process. It waits until the kernel's generator is seeded.
func systemStrict(b []byte) error {
	for len(b) > 0 {
		n, err := unix.Getrandom(b, 0)
		switch {
		case err == nil && n > 0:
			b = b[n:]
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.ENOSYS): // before Linux 3.17, and under some sandboxes
			return readEntropy(systemReader, b)
		default:
			return fmt.Errorf("%w: getrandom: %w", ErrEntropy, err)
		}
	}
	return nil
}

// systemReady fills b if the kernel's generator is seeded, and does not wait for that.
func systemReady(b []byte) (ok bool) {
	n, err := unix.Getrandom(b, unix.GRND_NONBLOCK)
	return err == nil && n == len(b)
}
