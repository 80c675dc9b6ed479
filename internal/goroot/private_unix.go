//go:build unix

package goroot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// privateFolder makes a folder of mode 0700, or refuses one that others could have
// put something into: what lies in it is run. It returns the path of the folder without the symbolic
// links on the way, which may be those of others.
func privateFolder(dir string) (path string, err error) {
	dir, err = filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	// Before anything is made there: root, with the home of somebody else, would leave folders behind
	// that are root's.
	there := filepath.Dir(dir)
	for there != filepath.Dir(there) {
		if _, err := os.Stat(there); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		there = filepath.Dir(there)
	}
	if _, err := above(dir, there); err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return "", noFolder(err)
	}
	real, err := above(dir, filepath.Dir(dir))
	if err != nil {
		return "", err
	}
	dir = filepath.Join(real, filepath.Base(dir))
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", noFolder(err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return "", err
	}
	owner, _ := ownerOf(info)
	switch {
	case !info.IsDir():
		return "", refuse(dir, "is not a folder")
	case owner != os.Geteuid():
		return "", refuse(dir, fmt.Sprintf("belongs to user %d and not to %d, who runs this", owner, os.Geteuid()))
	case info.Mode().Perm()&0o077 != 0:
		return "", refuse(dir, fmt.Sprintf("has mode %#o, so others may have changed it", info.Mode().Perm()))
	}
	return dir, nil
}

// above refuses dir if somebody else could rename a folder above it, and put another in its
// place. It returns the path of up, the first of these folders, without symbolic links.
func above(dir, up string) (real string, err error) {
	real, err = filepath.EvalSymlinks(up)
	if err != nil {
		return "", noFolder(err)
	}
	for up = real; ; up = filepath.Dir(up) {
		info, err := os.Lstat(up)
		if err != nil {
			return "", err
		}
		owner, group := ownerOf(info)
		mode := info.Mode()
		switch {
		case owner != 0 && owner != os.Geteuid():
			return "", refuse(dir, fmt.Sprintf("lies in %s, which belongs to user %d", up, owner))
		case mode&fs.ModeSticky != 0:
		case othersWrite(mode, group, os.Geteuid()):
			return "", refuse(dir, fmt.Sprintf("lies in %s, which others can write to (mode %#o)", up, mode.Perm()))
		}
		if up == filepath.Dir(up) {
			return real, nil
		}
	}
}

// othersWrite reports whether somebody but root and a user can write to a folder of these two. A group
// is taken for the user's own where it has the number of the user, as useradd gives it: the
// primary group, which new files get, is in other places that of all users.
func othersWrite(mode fs.FileMode, group, user int) bool {
	return mode.Perm()&0o002 != 0 || mode.Perm()&0o020 != 0 && group != 0 && group != user
}

func noFolder(err error) error {
	return fmt.Errorf("no place for a patched tree: %w; name another cache folder with XDG_CACHE_HOME", err)
}

func refuse(dir, why string) error {
	return fmt.Errorf("%s %s: what is in it would be run, so it is not used; remove it, or name another cache folder with XDG_CACHE_HOME", dir, why)
}

func ownerOf(info fs.FileInfo) (user, group int) {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return -1, -1
	}
	return int(s.Uid), int(s.Gid)
}

// lock waits for the lock on a file, and reports whether there is one. It ends with the process.
func lock(path string) (unlock func(), alone bool, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, false, noFolder(err)
	}
	whole := unix.Flock_t{Type: unix.F_WRLCK}
	for {
		if err = unix.FcntlFlock(f.Fd(), unix.F_SETLKW, &whole); err != unix.EINTR {
			break
		}
	}
	// A file system without locks makes more work, not less sense: the rename decides.
	return func() { f.Close() }, err == nil, nil
}
