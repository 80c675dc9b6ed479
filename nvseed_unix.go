//go:build unix

package rand

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/clonerand/rand/internal/owner"
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

// maxLinks is how many symbolic links Linux follows in one path: MAXSYMLINKS of its include/linux/namei.h.
const maxLinks = 40

// resolveSeed returns the folder of a seed, without symbolic links in its path, and the seed's name in it. It follows
// each link itself, that of the seed where follow is true, and lets nobody lead it but root and the effective user:
// every folder on the way and every link must be theirs, and others must not be able to change either. By
// induction from the root folder, what it has looked at stays as it is.
func resolveSeed(path string, follow bool) (folder, name string, err error) {
	at, rest := "/", strings.Split(path, "/")
	info, err := os.Lstat(at)
	if err == nil {
		err = checkWay(at, info)
	}
	for links := 0; err == nil && len(rest) > 0; {
		name, rest = rest[0], rest[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			at = filepath.Dir(at) // which has no links
			continue
		}
		here, last := filepath.Join(at, name), !slices.ContainsFunc(rest, func(s string) bool { return s != "" && s != "." })
		if last && !follow {
			return at, name, nil
		}
		if info, err = os.Lstat(here); err != nil {
			if links > 0 && errors.Is(err, fs.ErrNotExist) {
				return "", "", mend(err, "the symbolic link leads nowhere: point it to a seed file")
			}
			if follow {
				err = missing(err)
			}
			return "", "", err
		}
		switch {
		case info.Mode()&fs.ModeSymlink != 0:
			if links++; links > maxLinks {
				return "", "", mend(unix.ELOOP, "the symbolic link leads nowhere: point it to a seed file")
			}
			var to string
			if to, err = followLink(here, info); err == nil {
				if filepath.IsAbs(to) {
					at = "/"
				}
				rest = append(strings.Split(to, "/"), rest...)
			}
		case last && !info.IsDir():
			return at, name, nil
		case !info.IsDir():
			return "", "", &fs.PathError{Op: "open", Path: here, Err: unix.ENOTDIR}
		default:
			at, err = here, checkWay(here, info)
		}
	}
	if err == nil {
		err = mend(errors.New("is a folder"), "name the seed file in it")
	}
	return "", "", err
}

func followLink(link string, info fs.FileInfo) (to string, err error) {
	if err := checkOwner(info); err != nil {
		return "", mend(fmt.Errorf("the symbolic link %s %w", link, err), "name the file itself")
	}
	return os.Readlink(link)
}

// checkWay refuses a folder on the way to a seed in which others can put something else in the place of what is
// looked up in it. A sticky folder keeps them from that, since only the owner of a file can replace it there. A folder
// from outside of a user namespace is the business of those who have set up the namespace.
func checkWay(folder string, info fs.FileInfo) error {
	if err := checkOwner(info); err != nil && !owner.Unknown(uidOf(info)) {
		return mend(fmt.Errorf("the folder %s %w", folder, err), asUser(info)+", or move the seed")
	}
	if info.Mode()&0o022 != 0 && info.Mode()&fs.ModeSticky == 0 {
		return mend(fmt.Errorf("the folder %s is writable by others (mode %#o)", folder, info.Mode().Perm()), "run chmod go-w "+folder+", or move the seed")
	}
	return nil
}

// checkSeedFolder refuses a folder in which others can put a seed that they know. That it is sticky is not enough: where
// no seed is yet, or no longer, everybody can make one.
func checkSeedFolder(folder string, info fs.FileInfo) error {
	if err := checkOwner(info); err != nil {
		return mend(fmt.Errorf("its folder %s %w", folder, err), asUser(info)+", or move the seed")
	}
	if info.Mode()&0o022 != 0 {
		return mend(fmt.Errorf("its folder %s is writable by others, though it may be sticky (mode %#o)", folder, info.Sys().(*syscall.Stat_t).Mode&0o7777), "move the seed to a folder in which nobody else can write")
	}
	return nil
}

// checkAccess refuses a seed that others can know.
func checkAccess(file string, info fs.FileInfo) error {
	if err := checkOwner(info); err != nil {
		return mend(err, asUser(info))
	}
	if perm := info.Mode().Perm(); perm&0o077 != 0 {
		return mend(fmt.Errorf("accessible to group or others (mode %#o)", perm), "run chmod 600 "+file+"; if others may have read it, put a new seed there")
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Nlink > 1 {
		return mend(fmt.Errorf("has %d hard links, and the others would keep the old seed", st.Nlink), "remove them")
	}
	return nil
}

// checkOwner returns why what is info must not be relied on, or nil: it is root's or the effective user's.
func checkOwner(info fs.FileInfo) error { return owner.Check(uidOf(info)) }

func uidOf(info fs.FileInfo) int { return int(info.Sys().(*syscall.Stat_t).Uid) }

// asUser says how to use a seed of another user.
func asUser(info fs.FileInfo) string {
	switch uid := uidOf(info); {
	case owner.Unknown(uid):
		return "use a seed of a user whom the namespace maps"
	case os.Geteuid() == 0:
		return fmt.Sprintf("run as that user, for which clonerand seed has the flag -user %d", uid)
	default:
		return fmt.Sprintf("run as user %d", uid)
	}
}

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

func (p *seedFolder) rename(from, to string) error { return p.named(to, p.root.Rename(from, to)) }

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
		return "run as a user who can write in " + folder + ", or move the seed"
	case errors.Is(err, unix.EPERM):
		return "an attribute of the file or of " + folder + " forbids it (chattr -ia takes it away on Linux), or a security module"
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOTSUP):
		return "move the seed from " + folder + " to a file system that can do this"
	}
	return ""
}
