package soak

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"unsafe"

	"golang.org/x/sys/unix"
)

var whyNoForks = map[bool]string{true: "a raw fork and the race detector do not go together"}[raceEnabled]

// forkAndRead copies this process by a system call that the runtime knows nothing of,
// and returns what the child reads from the sources. Nobody else may run Go code
// meanwhile. Where it cannot be done it returns nil.
func forkAndRead(sources []io.Reader, size int) ([]byte, error) {
	if raceEnabled {
		return nil, nil
	}
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, err
	}
	defer unix.Close(fds[0])
	// A collection in the child would wait for threads that it does not have.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	runtime.GC()
	b := make([]byte, size)

	flags, stack := uintptr(unix.SIGCHLD), uintptr(0)
	if runtime.GOARCH == "s390x" { // takes them the other way round
		flags, stack = stack, flags
	}
	pid, _, errno := unix.RawSyscall6(unix.SYS_CLONE, flags, stack, 0, 0, 0, 0)
	if errno == 0 && pid == 0 {
		readAll(sources, b)
		unix.RawSyscall(unix.SYS_WRITE, uintptr(fds[1]), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
		unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
	}
	unix.Close(fds[1])
	if errno != 0 {
		return nil, errno
	}
	defer unix.Wait4(int(pid), nil, 0, nil)
	if err := readChild(fds[0], b); err != nil {
		unix.Kill(int(pid), unix.SIGKILL)
		return nil, err
	}
	return b, nil
}

// readChild fills b from a child that may hang.
func readChild(fd int, b []byte) error {
	for len(b) > 0 {
		ready, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 10_000)
		if err == unix.EINTR {
			continue
		}
		if ready != 1 {
			return fmt.Errorf("the child hangs (%v)", err)
		}
		n, err := unix.Read(fd, b)
		if err != nil {
			return err
		}
		if n == 0 {
			return errors.New("the child ended before it had read")
		}
		b = b[n:]
	}
	return nil
}
