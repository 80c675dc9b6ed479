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
	// The page is a whole one of mapForkPage, which the collector does not know and cannot
	// move. The call is raw: it never waits, and the scheduler need not hear of it.
	_, _, errno := unix.RawSyscall(unix.SYS_MADVISE, uintptr(unsafe.Pointer(page)), uintptr(unix.Getpagesize()), unix.MADV_WIPEONFORK)
	if errno != 0 {
		return "madvise MADV_WIPEONFORK (Linux 4.14): " + errno.Error()
	}
	return ""
}
