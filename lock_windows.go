package rand

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/windows"
)

const lockSupported = true

// lockFile tries to take the lock on f, which lasts until f is closed or the
// process ends. It does not wait.
func lockFile(f *os.File) (locked bool, holder string, err error) {
	const flags = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	err = windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, new(windows.Overlapped))
	switch {
	case err == nil:
		return true, "", nil
	case errors.Is(err, windows.ERROR_LOCK_VIOLATION) || errors.Is(err, windows.ERROR_IO_PENDING):
		return false, "another process", nil
	default:
		return false, "", err
	}
}

func napThread(d time.Duration) { time.Sleep(d) }
