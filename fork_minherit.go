//go:build freebsd || netbsd

package rand

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mapForkPage maps a page that the kernel gives to a forked child as zeros: minherit(2)
// with inheritZero. The child's page has the same inheritance, so its children see
// zeros, too (FreeBSD sys/vm/vm_map.c, vmspace_fork; NetBSD sys/uvm/uvm_map.c,
// uvm_mapent_forkzero). It is never unmapped.
//
// Only a fork shows whether the page is wiped, and a Go program cannot fork to find
// out. What is checked is that the kernel accepts the inheritance and refuses one that
// does not exist. A kernel that is older than the inheritance refuses both, and then
// the process ID has to do.
func mapForkPage() (page *uint64, why string) {
	p, err := unix.Mmap(-1, 0, unix.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, "mmap: " + err.Error()
	}
	page = (*uint64)(unsafe.Pointer(unsafe.SliceData(p))) // a page is aligned for any word
	if minherit(page, -1) == nil {
		why = "minherit accepts anything here (user-mode emulation)"
	} else {
		why = wipeOnFork(page)
	}
	if why != "" {
		unix.Munmap(p)
		return nil, why
	}
	return page, ""
}

// wipeOnFork lets a child inherit a page of mapForkPage as zeros.
func wipeOnFork(page *uint64) (why string) {
	if err := minherit(page, inheritZero()); err != nil {
		return "minherit, zero in the child: " + err.Error()
	}
	return ""
}

// inheritZero is INHERIT_ZERO of FreeBSD 12's sys/sys/mman.h, MAP_INHERIT_ZERO of
// NetBSD's. NetBSD's 3 is another thing, and refused.
func inheritZero() int {
	if runtime.GOOS == "netbsd" {
		return 4
	}
	return 3
}

// minherit has no wrapper in x/sys. Its number is from x/sys: 250 in FreeBSD's
// sys/kern/syscalls.master, 273 in NetBSD's.
func minherit(page *uint64, inherit int) error {
	// The kernel takes the address of a mapping as a number. Go's collector does not know
	// the mapping and cannot move it.
	_, _, errno := unix.Syscall(unix.SYS_MINHERIT, uintptr(unsafe.Pointer(page)), uintptr(unix.Getpagesize()), uintptr(inherit))
	if errno != 0 {
		return errno
	}
	return nil
}
