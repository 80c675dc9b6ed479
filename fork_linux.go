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
	page = (*uint64)(unsafe.Pointer(unsafe.SliceData(p))) // a page is aligned for any word
	// User-mode QEMU says yes to any advice and does nothing: whoever accepts one that
	// does not exist has not understood the other either.
	if unix.Madvise(p, -1) == nil {
		why = "madvise accepts anything here (user-mode emulation)"
	} else {
		why = wipeOnFork(page)
	}
	if why != "" {
		unix.Munmap(p)
		return nil, why
	}
	return page, ""
}

// wipeOnFork advises the kernel to wipe a page of mapForkPage in a child.
func wipeOnFork(page *uint64) (why string) {
	// The page is a whole one: mapForkPage has mapped it.
	p := unsafe.Slice((*byte)(unsafe.Pointer(page)), unix.Getpagesize())
	if err := unix.Madvise(p, unix.MADV_WIPEONFORK); err != nil {
		return "madvise MADV_WIPEONFORK (Linux 4.14): " + err.Error()
	}
	return ""
}
