//go:build linux || freebsd || netbsd || dragonfly

package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"
	"unsafe"

	"github.com/clonerand/rand"
	"golang.org/x/sys/unix"
)

// forkAndRead reads once, so that there is a state to share, forks this process with a raw system call, and lets
// both sides read.
//
// A raw fork leaves the Go runtime of the child with one thread and with the locks of all others as they were, so a
// child can hang in the allocator, seldom. A child that has not answered after the given time is killed, and the fork
// tried again.
func forkAndRead(parent, child *forkedBytes, wait time.Duration) (err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	runtime.GC()                                     // end a collection that is under way,
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // and begin none: its threads do not exist in the child
	for try := 0; try < 3; try++ {
		if err = forkOnce(parent, child, wait); !errors.Is(err, errChildHangs) {
			break
		}
	}
	return err
}

func forkOnce(parent, child *forkedBytes, wait time.Duration) error {
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		return err
	}
	defer unix.Close(pipe[0])
	rand.Read(parent.bytes[:16])

	pid, errno := fork()
	if errno == 0 && pid == 0 {
		rand.Read(child.bytes[:])
		// Sound: the bytes are in memory that the write is done with when it returns.
		unix.RawSyscall(unix.SYS_WRITE, uintptr(pipe[1]), uintptr(unsafe.Pointer(&child.bytes)), unsafe.Sizeof(child.bytes))
		for {
			unix.RawSyscall(sysExit, 0, 0, 0)
		}
	}
	unix.Close(pipe[1])
	if errno != 0 {
		return errno
	}
	parent.pid, child.pid = os.Getpid(), int(pid)
	rand.Read(parent.bytes[:])
	err := readBefore(pipe[0], child.bytes[:], time.Now().Add(wait))
	if err != nil {
		_ = unix.Kill(child.pid, unix.SIGKILL)
	}
	for {
		if _, wait := unix.Wait4(child.pid, nil, 0, nil); wait != unix.EINTR {
			return err
		}
	}
}

// readBefore fills b from the pipe, or fails at the deadline.
func readBefore(fd int, b []byte, deadline time.Time) error {
	for len(b) > 0 {
		left := time.Until(deadline).Milliseconds()
		if left <= 0 {
			return errChildHangs
		}
		ready, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(left))
		if ready > 0 && err == nil {
			var n int
			if n, err = unix.Read(fd, b); n == 0 && err == nil {
				return fmt.Errorf("the child ended %d bytes early", len(b))
			}
			b = b[max(n, 0):]
		}
		if err != nil && err != syscall.EINTR {
			return err
		}
	}
	return nil
}
