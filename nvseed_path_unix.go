//go:build unix

package rand

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/clonerand/rand/internal/owner"
	"golang.org/x/sys/unix"
)

// maxLinks is how many symbolic links Linux follows in one path: MAXSYMLINKS of its include/linux/namei.h.
const maxLinks = 40

// absolute is filepath.Abs without its Clean, which takes link/.. for the folder of the link. The system does not.
func absolute(path string) (string, error) {
	if filepath.IsAbs(path) {
		return path, nil
	}
	here, err := os.Getwd()
	return strings.TrimSuffix(here, "/") + "/" + path, err
}

// resolveSeed returns the folder of a seed, without symbolic links in its path, and the seed's name in it. It follows
// each link itself, that of the seed where follow is true. Only root and the effective user may lead it: every folder
// on the way and every link must be theirs, and others must not be able to change either. So, from the root folder
// on, what it has looked at stays as it is.
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
			switch {
			case follow:
				err = missing(err)
			case errors.Is(err, fs.ErrNotExist):
				err = mend(err, "make the folder first, for the user who draws")
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

// statFolder is for the folder of resolveSeed, which is no link.
func statFolder(folder string) (fs.FileInfo, error) { return os.Lstat(folder) }

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

// checkOwner returns why nobody may rely on a file, or nil where it belongs to root or the effective user.
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
