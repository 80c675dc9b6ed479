//go:build linux && !s390x

package main

import (
	"syscall"

	"golang.org/x/sys/unix"
)

const sysExit = unix.SYS_EXIT_GROUP

// fork is clone(2) with no flag, as not every architecture has a system call fork.
func fork() (pid uintptr, errno syscall.Errno) {
	pid, _, errno = unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	return pid, errno
}
