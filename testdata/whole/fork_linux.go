package main

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"runtime"
	"runtime/debug"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// fork forks for real and compares what both sides draw by crypto/rand. A child of a program with
// threads can hang in Go's runtime; it is killed then, and the next may do better.
func fork() string {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	runtime.GC()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	why := ""
	for range 3 {
		if why = forkOnce(); why == "differ" || why == "repeat" {
			break
		}
	}
	return why
}

func forkOnce() string {
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		return err.Error()
	}
	defer unix.Close(pipe[0])
	var ours, theirs [1024]byte
	rand.Read(ours[:16]) // so that there is something to share
	pid, _, errno := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if errno != 0 {
		unix.Close(pipe[1])
		return errno.Error()
	}
	if pid == 0 {
		for i := 0; i < len(theirs); i += 16 {
			rand.Read(theirs[i : i+16])
		}
		// Sound: the bytes are in memory that the write is done with when it returns.
		unix.RawSyscall(unix.SYS_WRITE, uintptr(pipe[1]), uintptr(unsafe.Pointer(&theirs)), unsafe.Sizeof(theirs))
		for {
			unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
		}
	}
	unix.Close(pipe[1])
	for i := 0; i < len(ours); i += 16 {
		rand.Read(ours[i : i+16])
	}
	defer unix.Wait4(int(pid), nil, 0, nil)
	poll := []unix.PollFd{{Fd: int32(pipe[0]), Events: unix.POLLIN}}
	for deadline := time.Now().Add(10 * time.Second); ; {
		n, err := unix.Poll(poll, int(time.Until(deadline).Milliseconds()))
		if err == unix.EINTR && time.Now().Before(deadline) {
			continue
		}
		if n < 1 {
			unix.Kill(int(pid), unix.SIGKILL)
			return fmt.Sprintf("the child hangs (%v)", err)
		}
		break
	}
	if n, err := unix.Read(pipe[0], theirs[:]); n != len(theirs) {
		return fmt.Sprintf("%d bytes of the child: %v", n, err)
	}
	for i := 0; i < len(ours); i += 16 {
		if bytes.Contains(theirs[:], ours[i:i+16]) {
			return "repeat"
		}
	}
	return "differ"
}
