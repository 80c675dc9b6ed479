package rand

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// mapForkPage maps a page that the kernel gives to a forked child as zeros,
// MADV_WIPEONFORK of Linux 4.14. It is never unmapped.
func mapForkPage() (page *uint64, why string) {
	// MmapPtr keeps no list of mappings, as Mmap does, which a fork could find locked.
	p, err := unix.MmapPtr(-1, 0, nil, uintptr(unix.Getpagesize()), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, "mmap: " + err.Error()
	}
	page = (*uint64)(p) // a page is aligned for any word
	// User-mode QEMU says yes to any advice and does nothing: whoever accepts one that
	// does not exist has not understood the other either.
	if advise(p, unix.Getpagesize(), -1) == 0 {
		why = "madvise accepts anything here (user-mode emulation)"
	} else {
		why = wipeOnFork(page)
	}
	if why != "" {
		_ = unix.MunmapPtr(p, uintptr(unix.Getpagesize()))
		return nil, why
	}
	return page, ""
}

// wipeOnFork advises the kernel to wipe a page of mapForkPage in a child.
func wipeOnFork(page *uint64) (why string) {
	if errno := advise(unsafe.Pointer(page), unix.Getpagesize(), unix.MADV_WIPEONFORK); errno != 0 {
		return "madvise MADV_WIPEONFORK (Linux 4.14): " + errno.Error()
	}
	return ""
}

// advise is madvise(2) of whole pages that the collector does not know and cannot move. The
// call is raw: it never waits, and the scheduler need not hear of it.
func advise(p unsafe.Pointer, length, advice int) unix.Errno {
	_, _, errno := unix.RawSyscall(unix.SYS_MADVISE, uintptr(p), uintptr(length), uintptr(advice))
	return errno
}
