//go:build freebsd || netbsd

package rand

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// mapForkPage maps a page that the kernel gives to a forked child as zeros: minherit(2)
// with inheritZero. The child's page has the same inheritance, so its children see
// zeros, too (FreeBSD sys/vm/vm_map.c, vmspace_fork; NetBSD sys/uvm/uvm_map.c,
// uvm_mapent_forkzero). It is never unmapped.
//
// Whether the page is wiped can not be seen without a fork, and a Go program can not
// fork to find out. What is checked is that the kernel accepts the inheritance and
// refuses one that does not exist: a kernel older than the inheritance refuses
// both, and then the process ID has to do.
func mapForkPage() (page *uint64, why string) {
	p, err := unix.Mmap(-1, 0, unix.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, "mmap: " + err.Error()
	}
	if why := zeroOnFork(p); why != "" {
		unix.Munmap(p)
		return nil, why
	}
	// A page is aligned for any word.
	return (*uint64)(unsafe.Pointer(unsafe.SliceData(p))), ""
}

func zeroOnFork(p []byte) (why string) {
	if minherit(p, -1) == nil {
		return "minherit accepts anything here (user-mode emulation)"
	}
	if err := minherit(p, inheritZero); err != nil {
		return "minherit, zero in the child: " + err.Error()
	}
	return ""
}

// minherit has no wrapper in x/sys. Its number is from x/sys: 250 in FreeBSD's
// sys/kern/syscalls.master, 273 in NetBSD's.
func minherit(p []byte, inherit int) error {
	// The kernel takes the address of a mapping as a number; Go's collector does not
	// know the mapping and can not move it.
	_, _, errno := unix.Syscall(unix.SYS_MINHERIT, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), uintptr(inherit))
	if errno != 0 {
		return errno
	}
	return nil
}
