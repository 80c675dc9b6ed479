package rand

import (
	"errors"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/windows"
)

const openFlags = 0

// checkAccess has nothing to go by: access is the folder's control list, which a
// new file inherits, and Go's mode bits say nothing of it.
func checkAccess(string, fs.FileInfo) error { return nil }

func checkLink(link, info fs.FileInfo) error { return nil }

func ownLike(*os.File, fs.FileInfo) error { return nil }

// renameFile returns when the rename is on the disk.
func renameFile(from, to string) error {
	f, err := windows.UTF16PtrFromString(from)
	if err != nil {
		return err
	}
	t, err := windows.UTF16PtrFromString(to)
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

// syncFolder has nothing left to do: a folder can not be flushed here, and
// renameFile has waited.
func syncFolder(string) error { return nil }

// adviceFor returns what to do about an error, with %s for the folder.
func adviceFor(err error) string {
	switch {
	case errors.Is(err, windows.ERROR_DISK_FULL), errors.Is(err, windows.ERROR_HANDLE_DISK_FULL):
		return "free some space in %s"
	case errors.Is(err, windows.ERROR_WRITE_PROTECT):
		return "%s is read-only, and a seed must be advanced at every draw: move it to a writable place"
	case errors.Is(err, windows.ERROR_SHARING_VIOLATION):
		return "another program has a file in %s open: close it"
	case errors.Is(err, fs.ErrPermission):
		return "run as a user who can write in %s, or move the seed"
	}
	return ""
}
