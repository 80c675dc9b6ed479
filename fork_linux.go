package rand

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// mapForkPage maps a page that the kernel gives to a forked child as zeros,
// MADV_WIPEONFORK of Linux 4.14. It is never unmapped.
func mapForkPage() (page *uint64, why string) {
	p, err := unix.Mmap(-1, 0, unix.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, "mmap: " + err.Error()
	}
	if err := wipeOnFork(p); err != "" {
		unix.Munmap(p)
		return nil, err
	}
	// A page is aligned for any word.
	return (*uint64)(unsafe.Pointer(unsafe.SliceData(p))), ""
}

func wipeOnFork(p []byte) (why string) {
	// User-mode QEMU says yes to any advice and does nothing: whoever accepts one that
	// does not exist has not understood the other either.
	if unix.Madvise(p, -1) == nil {
		return "madvise accepts anything here (user-mode emulation)"
	}
	if err := unix.Madvise(p, unix.MADV_WIPEONFORK); err != nil {
		return "madvise MADV_WIPEONFORK (Linux 4.14): " + err.Error()
	}
	return ""
}
