//go:build freebsd || netbsd || dragonfly

package main

import (
	"syscall"

	"golang.org/x/sys/unix"
)

const sysExit = unix.SYS_EXIT

func fork() (pid uintptr, errno syscall.Errno) {
	pid, _, errno = unix.RawSyscall(unix.SYS_FORK, 0, 0, 0)
	return pid, errno
}
