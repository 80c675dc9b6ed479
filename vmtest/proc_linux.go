package main

import "syscall"

// dieWithParent has the kernel end QEMU when this program ends without having done so.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
