package goroot

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Copy makes a patched copy of a GOROOT in dir, which must be empty or not be there. No
// file is shared with the original. If ctx ends before, nothing is left behind.
func Copy(ctx context.Context, root, dir string) error {
	files, err := Patch(root)
	if err != nil {
		return err
	}
	switch entries, err := os.ReadDir(dir); {
	case len(entries) > 0:
		return fmt.Errorf("%s is not empty: name a new folder", dir)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := apart(root, dir); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o777); err != nil {
		return err
	}
	os.Remove(dir) // no folder is renamed over another
	return install(ctx, root, dir, 0o755, copyFile, files)
}

// apart refuses a folder in the GOROOT itself: the tree would be a part of what is copied into it.
func apart(root, dir string) error {
	top, err := os.Stat(root)
	if err != nil {
		return err
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	for up := abs; ; up = filepath.Dir(up) {
		// What is not there yet is in the first folder above it that is.
		if real, err := filepath.EvalSymlinks(up); err == nil {
			up = real
		}
		if info, err := os.Stat(up); err == nil && os.SameFile(info, top) {
			return fmt.Errorf("%s lies in the GOROOT %s: name a folder outside of it", dir, root)
		}
		if up == filepath.Dir(up) {
			return nil
		}
	}
}

// making is held by the goroutine that makes a tree.
var making sync.Mutex

// Cached returns the patched tree for a GOROOT. It lies in cache, a folder that must be
// this user's alone, under a name that says which version of Go it is and
// changes with each file of it. What was not asked for in a month is removed.
func Cached(root, version, cache string) (tree string, err error) {
	files, err := Patch(root)
	if errors.Is(err, ErrPatched) {
		return root, nil
	}
	if err != nil {
		return "", err
	}
	if err := apart(root, cache); err != nil {
		return "", err
	}
	if cache, err = privateFolder(cache); err != nil {
		return "", err
	}
	sum, err := fingerprint(root, files)
	if err != nil {
		return "", err
	}
	tree = filepath.Join(cache, version+"-"+hex.EncodeToString(sum[:8]))
	if usable(tree, files) {
		return tree, nil
	}
	making.Lock() // a lock on a file keeps other processes out, and not other goroutines
	defer making.Unlock()
	unlock, alone, err := lock(filepath.Join(cache, "lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	if usable(tree, files) { // another process was faster
		return tree, nil
	}
	if err := prune(cache, alone); err != nil {
		return "", err
	}
	if _, err := os.Lstat(tree); err == nil {
		broken := tree + unfinished
		if err := os.RemoveAll(broken); err != nil { // left by a process that was killed
			return "", err
		}
		if err := os.Rename(tree, broken); err != nil {
			return "", err
		}
		defer os.RemoveAll(broken)
	}
	if err := install(context.Background(), root, tree, 0o755, linkFile, files); err != nil && !usable(tree, files) {
		return "", err
	}
	return tree, nil
}

// usable reports whether a tree is whole, and notes that it was asked for.
func usable(tree string, files []File) bool {
	if !patched(tree, files) {
		return false
	}
	now := time.Now()
	os.Chtimes(tree, now, now) // for prune only
	return true
}

const (
	unfinished = ".tmp"
	unused     = 31 * 24 * time.Hour
)

// prune removes trees that nobody has asked for in a long time, and what a process
// that was killed has left behind: at once if its caller is alone in making trees.
func prune(cache string, alone bool) error {
	entries, err := os.ReadDir(cache)
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !e.IsDir() {
			continue
		}
		if age := time.Since(info.ModTime()); age > unused || strings.HasSuffix(e.Name(), unfinished) && (alone || age > time.Hour) {
			os.RemoveAll(filepath.Join(cache, e.Name()))
		}
	}
	return nil
}

// install makes the tree beside dir, and then renames it.
func install(ctx context.Context, root, dir string, mode fs.FileMode, put func(old, new string, info fs.FileInfo) error, files []File) error {
	tmp, err := os.MkdirTemp(filepath.Dir(dir), filepath.Base(dir)+"-*"+unfinished)
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if err := fill(ctx, root, tmp, put, files); err != nil {
		return err
	}
	if err := os.Chmod(tmp, mode); err != nil {
		return err
	}
	return os.Rename(tmp, dir)
}

// goEnv is the file of defaults that the go command reads in its GOROOT. A toolchain that
// it switched to would not be patched.
const goEnv = "go.env"

func fill(ctx context.Context, root, tree string, put func(old, new string, info fs.FileInfo) error, files []File) error {
	own := make(map[string][]byte)
	for _, f := range files {
		own[f.Name] = f.New
	}
	env, err := os.ReadFile(filepath.Join(root, goEnv))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var settings []byte // but for the one that is set below: Go 1.26 takes the last of two, and 1.27 the first
	for line := range bytes.Lines(env) {
		if !bytes.HasPrefix(line, []byte("GOTOOLCHAIN=")) {
			settings = append(settings, line...)
		}
	}
	own[goEnv] = append(settings, "\n# Added by clonerand: other toolchains are not patched.\nGOTOOLCHAIN=local\n"...)

	err = walk(root, func(name string, info fs.FileInfo) error {
		from, to := filepath.Join(root, name), filepath.Join(tree, name)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case own[filepath.ToSlash(name)] != nil:
			return nil
		case info.IsDir():
			return os.MkdirAll(to, 0o755)
		case info.Mode().IsRegular():
			return put(from, to, info)
		default:
			return fmt.Errorf("%s is neither a file nor a folder", from)
		}
	})
	if err != nil {
		return err
	}
	for name, text := range own {
		if err := writeNew(filepath.Join(tree, filepath.FromSlash(name)), bytes.NewReader(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// walk visits what is below root, by its name from there. Symbolic links are followed where they
// stand for a file or for a folder of the toolchain, as distributions of Go have them.
func walk(root string, visit func(name string, info fs.FileInfo) error) error {
	var below func(name string, depth int) error
	below = func(name string, depth int) error {
		if depth > 64 {
			return fmt.Errorf("%s: a loop of symbolic links", filepath.Join(root, name))
		}
		entries, err := os.ReadDir(filepath.Join(root, name))
		if err != nil {
			return err
		}
		for _, e := range entries {
			if e.Name() == ".git" {
				continue
			}
			inner := filepath.Join(name, e.Name())
			info, err := os.Stat(filepath.Join(root, inner))
			if errors.Is(err, fs.ErrNotExist) {
				continue // a link to nothing
			}
			if err != nil {
				return err
			}
			if err := visit(inner, info); err != nil {
				return err
			}
			if info.IsDir() {
				if err := below(inner, depth+1); err != nil {
					return err
				}
			}
		}
		return nil
	}
	return below("", 0)
}

// form changes with what is a link in a tree.
const form = 2

// fingerprint changes with the files of a GOROOT: with the size and the time of each, and with what
// is in the patched ones. To hash all that is in them would take longer than many a build.
func fingerprint(root string, files []File) (sum [sha256.Size]byte, err error) {
	h := sha256.New()
	real, err := filepath.EvalSymlinks(root)
	if err != nil {
		return sum, err
	}
	fmt.Fprintf(h, "%d %q\n", form, real)
	for _, f := range files {
		fmt.Fprintf(h, "%q %q %q\n", f.Name, f.Old, f.New)
	}
	err = walk(root, func(name string, info fs.FileInfo) error {
		if !info.IsDir() {
			fmt.Fprintf(h, "%q %d %d %o\n", name, info.Size(), info.ModTime().UnixNano(), info.Mode())
		}
		return nil
	})
	h.Sum(sum[:0])
	return sum, err
}

// linkFile makes a hard link, or a copy where there can be none: on another file
// system, of a file of another user (protected_hardlinks), and on systems without them.
func linkFile(old, new string, info fs.FileInfo) error {
	// The go command writes to these as they are. A link of a symbolic link would be another link.
	written := slices.Contains([]string{"go.mod", "go.sum"}, filepath.Base(new))
	if l, err := os.Lstat(old); err == nil && l.Mode().IsRegular() && !written && os.Link(old, new) == nil {
		return nil
	}
	return copyFile(old, new, info)
}

func copyFile(old, new string, info fs.FileInfo) error {
	from, err := os.Open(old)
	if err != nil {
		return err
	}
	defer from.Close()
	return writeNew(new, from, info.Mode().Perm()|0o200)
}

// writeNew makes a file. One that is there may be a link to a file of the toolchain.
func writeNew(name string, text io.Reader, mode fs.FileMode) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, text)
	return errors.Join(err, f.Close())
}
