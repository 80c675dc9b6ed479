//go:build unix

package rand

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const lockSupported = true

// lockFile tries to take the process's lock on f, which lasts until the process
// closes the file or ends. It does not wait.
func lockFile(f *os.File) (locked bool, holder string, err error) {
	for {
		whole := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
		err := unix.FcntlFlock(f.Fd(), unix.F_SETLK, &whole)
		switch {
		case err == nil:
			return true, "", nil
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES): // POSIX allows both
			return false, lockHolder(f), nil
		case errors.Is(err, unix.ENOLCK) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EOPNOTSUPP):
			return false, "", mend(err, "this file system has no locks: move the seed to one that has")
		default:
			return false, "", err
		}
	}
}

func lockHolder(f *os.File) string {
	whole := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
	if err := unix.FcntlFlock(f.Fd(), unix.F_GETLK, &whole); err != nil || whole.Type == unix.F_UNLCK || whole.Pid <= 0 {
		return "another process"
	}
	return fmt.Sprintf("process %d", whole.Pid)
}

// napThread sleeps in the kernel: [time.Sleep] would ask the scheduler for other
// threads, and a forked child has none.
func napThread(d time.Duration) {
	tv := unix.NsecToTimeval(d.Nanoseconds())
	unix.Select(0, nil, nil, nil, &tv)
}
