//go:build !linux

package rand

// signals is empty: no other system shows a clone signal in memory that a process can map. (NetBSD's
// kern.entropy.epoch and FreeBSD's dev.vmgenc.0.guid each cost a system call for every look.)
var signals = [0]func() signal{}
