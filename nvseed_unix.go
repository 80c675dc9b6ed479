//go:build unix

package rand

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
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
			return false, "", mend(err, "this file system has no locks, or the machine has none left: move the seed to another one")
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

// openFlags: a FIFO must not block, a link that appeared since it was looked for
// must not be followed.
const openFlags = unix.O_NONBLOCK | unix.O_NOFOLLOW

// ownLike keeps others out of f, whatever the umask said, and gives it the owner of like. A file system without modes
// may show 0700.
func ownLike(f *os.File, like fs.FileInfo) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Mode().Perm()|0o100 != 0o700 {
		if err := f.Chmod(0o600); err != nil {
			return err
		}
	}
	if like == nil || uidOf(info) == uidOf(like) {
		return nil
	}
	want := like.Sys().(*syscall.Stat_t)
	if err := f.Chown(int(want.Uid), int(want.Gid)); err != nil {
		return fmt.Errorf("cannot be given to user %d, the owner of the seed (%v): run as that user", want.Uid, err)
	}
	return nil
}

func (p *seedFolder) remove(name string) error { return p.named(name, p.root.Remove(name)) }

func (p *seedFolder) rename(from, to string) error {
	return p.named(to, notInterrupted(func() error { return p.root.Rename(from, to) }))
}

// checkReplaceable tries what else a rename to the seed's place needs. To remove a regular file as if it were a folder
// needs the same rights and attributes, and then fails with ENOTDIR all the same (rmdir(2)).
func (p *seedFolder) checkReplaceable() error {
	err := unix.Unlinkat(int(p.dir.Fd()), p.name, unix.AT_REMOVEDIR)
	switch {
	case errors.Is(err, fs.ErrPermission), err == unix.EROFS, err == unix.EBUSY:
	case isMount(p.dir, p.name):
		err = unix.EBUSY
	default:
		return nil
	}
	return p.adviseRename(&fs.PathError{Op: "replace", Path: p.full(p.name), Err: err})
}

func syncFolder(dir *os.File) error { return dir.Sync() }

// adviseRename says what to do where the seed cannot be replaced.
func (p *seedFolder) adviseRename(err error) error {
	if errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EXDEV) {
		return mend(err, "the file is a mount of its own and cannot be replaced: mount its folder "+p.path+" instead")
	}
	return p.advise(err)
}

// adviceFor returns what to do about an error in a folder.
func adviceFor(folder string, err error) string {
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return "free some space in " + folder
	case errors.Is(err, unix.EROFS):
		return folder + " is read-only, and a seed must be advanced at every draw: move it to a writable place"
	case errors.Is(err, unix.EMFILE):
		return "close files of this process, or raise its limit (ulimit -n)"
	case errors.Is(err, unix.ENFILE):
		return "close files of other programs, or raise the limit of the machine"
	case errors.Is(err, unix.EACCES):
		return "run as a user who can read and write in " + folder + ", or move the seed"
	case errors.Is(err, unix.EPERM):
		return "an attribute of the file or of " + folder + " forbids it (chattr -ia takes it away on Linux), or a security module"
	case errors.Is(err, unix.ENOTEMPTY), errors.Is(err, unix.EEXIST), errors.Is(err, unix.EBUSY):
		return "remove what is there: a draw writes the next seed in this place"
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOTSUP):
		return "move the seed from " + folder + " to a file system that can do this"
	}
	return ""
}
