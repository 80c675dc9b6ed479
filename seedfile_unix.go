//go:build unix

package rand

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// openFlags: a FIFO must not block, a link that appeared since it was looked for
// must not be followed.
const openFlags = unix.O_NONBLOCK | unix.O_NOFOLLOW

// checkAccess refuses a seed that others can know.
func checkAccess(file string, info fs.FileInfo) error {
	if perm := info.Mode().Perm(); perm&0o077 != 0 {
		return mend(fmt.Errorf("accessible to group or others (mode %#o)", perm), "run chmod 600 "+file+"; if others may have read it, put a new seed there")
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Nlink > 1 {
		return mend(fmt.Errorf("has %d hard links, and the others would keep the old seed", st.Nlink), "remove them")
	}
	return nil
}

// checkLink refuses a link that someone laid to a file of someone else: root, in
// a folder of another user, would overwrite what that user chose.
func checkLink(link, info fs.FileInfo) error {
	from, ok1 := link.Sys().(*syscall.Stat_t)
	to, ok2 := info.Sys().(*syscall.Stat_t)
	if ok1 && ok2 && from.Uid != 0 && from.Uid != to.Uid {
		return mend(fmt.Errorf("symbolic link of user %d to a file of user %d", from.Uid, to.Uid), "name the file itself")
	}
	return nil
}

// ownLike gives f mode 0600, whatever the umask said, and the owner of like. So
// root can advance the seed of a service.
func ownLike(f *os.File, like fs.FileInfo) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Mode().Perm() != 0o600 {
		if err := f.Chmod(0o600); err != nil {
			return err
		}
	}
	if like == nil {
		return nil
	}
	is, ok1 := info.Sys().(*syscall.Stat_t)
	want, ok2 := like.Sys().(*syscall.Stat_t)
	if !ok1 || !ok2 || is.Uid == want.Uid {
		return nil
	}
	if err := f.Chown(int(want.Uid), int(want.Gid)); err != nil {
		return mend(err, fmt.Sprintf("run as the owner of the seed, user %d, or as root", want.Uid))
	}
	return nil
}

func renameFile(from, to string) error { return os.Rename(from, to) }

// syncFolder makes a rename in the folder last through a power failure.
func syncFolder(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// adviceFor returns what to do about an error, with %s for the folder.
func adviceFor(err error) string {
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return "free some space in %s"
	case errors.Is(err, unix.EROFS):
		return "%s is read-only, and a seed must be advanced at every draw: move it to a writable place"
	case errors.Is(err, fs.ErrPermission):
		return "run as a user who can write in %s, or move the seed"
	case errors.Is(err, unix.EBUSY), errors.Is(err, unix.EXDEV):
		return "the file is a mount of its own and can not be replaced: mount its folder %s instead"
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOTSUP):
		return "move the seed from %s to a file system that can do this"
	}
	return ""
}
