package rand

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
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

const openFlags = 0

func absolute(path string) (string, error) { return filepath.Abs(path) }

// resolveSeed returns the folder of a seed and the seed's name in it. The system follows the symbolic links; the
// folders' access control lists say who may make one.
func resolveSeed(path string, follow bool) (folder, name string, err error) {
	if _, err := os.Lstat(path); follow && err != nil {
		return "", "", missing(err)
	}
	if follow {
		if path, err = filepath.EvalSymlinks(path); err != nil {
			return "", "", mend(err, "the symbolic link leads nowhere: point it to a seed file")
		}
	}
	return filepath.Dir(path), filepath.Base(path), nil
}

// statFolder follows links: the folder may be one, or a volume that is mounted there.
func statFolder(folder string) (fs.FileInfo, error) { return os.Stat(folder) }

// The folder's access control list, which a new file inherits, says who has access. Go's mode bits do not.

func checkSeedFolder(string, fs.FileInfo) error { return nil }

func checkAccess(string, fs.FileInfo) error { return nil }

func ownLike(*os.File, fs.FileInfo) error { return nil }

// checkReplaceable has nothing to try that would leave the seed alone.
func (p *seedFolder) checkReplaceable() error { return nil }

// remove and rename go by the path: wine 8 does not know how os.Root deletes, and only MoveFileEx waits for the disk. The
// folder's access control list says who may replace it meanwhile.
func (p *seedFolder) remove(name string) error { return os.Remove(p.full(name)) }

// rename returns when the rename is on the disk.
func (p *seedFolder) rename(from, to string) error {
	f, err := windows.UTF16PtrFromString(p.full(from))
	if err != nil {
		return err
	}
	t, err := windows.UTF16PtrFromString(p.full(to))
	if err != nil {
		return err
	}
	for try := 0; ; try++ {
		err = windows.MoveFileEx(f, t, windows.MOVEFILE_REPLACE_EXISTING|windows.MOVEFILE_WRITE_THROUGH)
		// A virus scanner or backup that has the file open for a moment.
		busy := errors.Is(err, windows.ERROR_SHARING_VIOLATION) || errors.Is(err, windows.ERROR_ACCESS_DENIED)
		if !busy || try == 8 {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// syncFolder has nothing left to do: a folder cannot be flushed here, and
// rename has waited.
func syncFolder(*os.File) error { return nil }

func (p *seedFolder) adviseRename(err error) error { return p.advise(err) }

// adviceFor returns what to do about an error in a folder.
func adviceFor(folder string, err error) string {
	switch {
	case errors.Is(err, windows.ERROR_DISK_FULL), errors.Is(err, windows.ERROR_HANDLE_DISK_FULL):
		return "free some space in " + folder
	case errors.Is(err, windows.ERROR_WRITE_PROTECT):
		return folder + " is read-only, and a seed must be advanced at every draw: move it to a writable place"
	case errors.Is(err, windows.ERROR_SHARING_VIOLATION):
		return "another program has a file in " + folder + " open: close it"
	case errors.Is(err, windows.ERROR_DIR_NOT_EMPTY):
		return "remove what is there: a draw writes the next seed in this place"
	case errors.Is(err, windows.ERROR_TOO_MANY_OPEN_FILES):
		return "close files of this process"
	case errors.Is(err, fs.ErrPermission):
		return "run as a user who can read and write in " + folder + ", or move the seed"
	}
	return ""
}
