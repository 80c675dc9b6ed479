package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/clonerand/rand"
	"github.com/clonerand/rand/internal/signalfile"
	"golang.org/x/sys/unix"
)

// initGeneration makes a generation file, and reports whether it did. It leaves one alone that processes would use, since
// they may have mapped it already. It completes one in its place that is unfinished and holds only zeros, as a full disk
// leaves it.
func initGeneration(path string) (created bool, err error) {
	if err := makeFolders(filepath.Dir(path)); err != nil {
		return false, withMend(err)
	}
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		switch err := createWhole(path); {
		case err == nil:
			created = true
		case !errors.Is(err, fs.ErrExist): // else somebody was faster, and theirs counts
			return false, withMend(err)
		}
	}
	err = usable(path)
	switch {
	case errors.Is(err, signalfile.ErrUnfinished):
		if err := complete(path); err != nil {
			return false, err
		}
		return true, usable(path)
	case err != nil && created: // a file system without mappings
		return false, errors.Join(err, os.Remove(path))
	case err == nil && !created:
		// On overlayfs this makes a copy of a file that came with a container's image. Whoever has
		// that one mapped sees no bump; whoever comes from now on maps the copy.
		if f, err := openGeneration(path, os.O_RDWR); err == nil { // else bump says why not
			f.Close()
		}
	}
	return created, err
}

// makeFolders makes the folders that are missing. Others must be able to look into them whatever the umask of the hook is.
func makeFolders(dir string) error {
	err := os.Mkdir(dir, 0o755)
	if errors.Is(err, fs.ErrNotExist) {
		if err = makeFolders(filepath.Dir(dir)); err == nil {
			err = os.Mkdir(dir, 0o755)
		}
	}
	switch info, statErr := os.Stat(dir); {
	case err == nil:
		return os.Chmod(dir, 0o755)
	case statErr == nil && info.IsDir():
		return nil
	}
	return err
}

// createWhole makes the file under another name and moves it into its place when it is whole, so that nobody ever maps
// a file that is shorter, and nothing is replaced.
func createWhole(path string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".generation-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if err := writeFirst(f); err != nil {
		return err
	}
	if err := f.Chmod(0o644); err != nil {
		return err
	}
	err = unix.Renameat2(unix.AT_FDCWD, f.Name(), unix.AT_FDCWD, path, unix.RENAME_NOREPLACE)
	if err == unix.EINVAL || err == unix.ENOSYS { // this file system or kernel only replaces; a link does not either
		return os.Link(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// writeFirst writes the first content, and sees it onto the disk.
//
// The counter starts at a random number. A process may be checkpointed and then restored on another machine, or after
// a reboot, where the file is another one. It must not find the number that it knows.
func writeFirst(f *os.File) error {
	var content [generationSize]byte
	rand.Read(content[:])
	if _, err := f.WriteAt(content[:], 0); err != nil {
		return err
	}
	return f.Sync()
}

// complete gives an unfinished file its first content. It overwrites nothing but zeros: the name may be mistyped.
func complete(path string) error {
	f, err := openUnchecked(path, os.O_RDWR)
	if err != nil {
		return err
	}
	defer f.Close() // and so unlocks
	lockAWhile(f)
	if err := check(f); err == nil && mappable(f) == nil {
		return nil // somebody else has completed it
	} else if err != nil && !errors.Is(err, signalfile.ErrUnfinished) {
		return err
	}
	there, err := io.ReadAll(io.LimitReader(f, generationSize))
	if err == nil && len(bytes.Trim(there, "\x00")) > 0 {
		err = fmt.Errorf("has %d bytes that are no generation; delete it if no process uses it, or name another file", len(there))
	}
	if err == nil {
		err = writeFirst(f)
	}
	if err != nil {
		return withMend(fmt.Errorf("%s: %w", path, err))
	}
	return nil
}

// usable returns why processes would not use the file, or nil.
func usable(path string) error { return unmap(mapGeneration(path)) }

func mappable(f *os.File) error { return unmap(mapFile(f)) }

// mapGeneration maps the file as processes of this package do.
func mapGeneration(path string) ([]uint64, error) {
	f, err := openGeneration(path, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return mapFile(f)
}

func mapFile(f *os.File) ([]uint64, error) {
	memory, err := signalfile.Map(int(f.Fd()), generationSize/8)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return memory, nil
}

func unmap(memory []uint64, err error) error {
	if err == nil {
		signalfile.Unmap(memory)
	}
	return err
}

func withMend(err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w; run it as root, or name a FILE of your own and let CLONERAND_GENERATION name it too", err)
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return fmt.Errorf("%w; free some space and run it again", err)
	}
	return err
}

// openGeneration opens a file that processes of this package would map, by the rules that they have for it.
func openGeneration(path string, mode int) (*os.File, error) {
	f, err := openUnchecked(path, mode)
	if err == nil {
		if err = check(f); err == nil {
			return f, nil
		}
		f.Close()
	}
	return nil, err
}

func openUnchecked(path string, mode int) (*os.File, error) {
	fd, err := signalfile.Open(path, mode)
	switch {
	case err == nil:
		return os.NewFile(uintptr(fd), path), nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s: not there; make it with: clonerand signal init", path)
	}
	return nil, withMend(fmt.Errorf("%s: %w", path, err))
}

func check(f *os.File) error {
	if err := signalfile.Check(int(f.Fd()), false); err != nil {
		return fmt.Errorf("%s: %w", f.Name(), err)
	}
	return checkBehind(f)
}

// checkBehind refuses a file that holds more than a generation: the name may be mistyped, and bump would overwrite what
// somebody needs. Zeros are left alone, in case that somebody made the file a whole page.
func checkBehind(f *os.File) error {
	var page [4096]byte
	n, err := f.ReadAt(page[:], generationSize)
	if err != nil && err != io.EOF {
		return withMend(fmt.Errorf("%s: %w", f.Name(), err))
	}
	if len(bytes.Trim(page[:n], "\x00")) > 0 {
		return fmt.Errorf("%s: is no generation file, since it holds more than %d bytes; name another file", f.Name(), generationSize)
	}
	return nil
}

// lockAWhile takes the lock that keeps two writers from mixing their bytes. It is not waited for long, since everybody
// who can read the file can hold it.
func lockAWhile(f *os.File) {
	for try := 0; try < 100 && unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil; try++ {
		time.Sleep(10 * time.Millisecond)
	}
}

// readGeneration returns what the file holds now.
func readGeneration(path string) (generation uint64, id [identitySize]byte, err error) {
	f, err := openGeneration(path, os.O_RDONLY)
	if err != nil {
		return 0, id, err
	}
	defer f.Close()
	var b [generationSize]byte
	if _, err := f.ReadAt(b[:], 0); err != nil {
		return 0, id, fmt.Errorf("%s: %w", path, err)
	}
	return binary.LittleEndian.Uint64(b[:]), [identitySize]byte(b[8:]), nil
}

// bumpGeneration writes the identity, then counts the generation up, and returns it.
//
// A reader that finds a new counter reads the identity after it. So it gets all of the new one, or parts of a still newer
// one; the counter of that is yet to come, and makes it read again. Two bumps at once both count, since adding to the
// counter is one step. The lock keeps their identities from being mixed.
func bumpGeneration(path string, id [identitySize]byte) (generation uint64, err error) {
	seen, err := mapGeneration(path) // before the file is opened to write
	if err == nil {                  // else the next says why
		defer signalfile.Unmap(seen)
	}
	f, err := openGeneration(path, os.O_RDWR)
	if err != nil {
		return 0, err
	}
	defer f.Close() // and so unlocks
	lockAWhile(f)
	page, err := unix.Mmap(int(f.Fd()), 0, generationSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return 0, fmt.Errorf("%s: cannot be mapped: %w", path, err)
	}
	defer unix.Munmap(page)
	// Writing to a hole needs room, and where there is none it is a SIGBUS; this gets an error instead (Linux 5.14).
	if unix.Madvise(page, unix.MADV_POPULATE_WRITE) == unix.EFAULT {
		return 0, fmt.Errorf("%s: cannot be written through a mapping; if its file system is full, free some space and run it again", path)
	}
	// Sound: page is the start of a mapping of 64 bytes, so it is aligned, and it is unmapped after the last use.
	words := (*[generationSize / 8]uint64)(unsafe.Pointer(&page[0]))
	for i := 1; i < len(words); i++ {
		atomic.StoreUint64(&words[i], binary.NativeEndian.Uint64(id[8*(i-1):]))
	}
	generation = addLittleEndian(&words[0])
	if seen != nil && signalfile.LittleEndian(atomic.LoadUint64(&seen[0])) == generation-1 {
		return 0, fmt.Errorf("%s: generation %d, but processes that have the file mapped do not see it, since it came with an image (overlayfs): start those processes again, and run signal init before them", path, generation)
	}
	return generation, nil
}

// addLittleEndian adds one to a little-endian number in memory that others add to at the same time.
func addLittleEndian(word *uint64) uint64 {
	for {
		old := atomic.LoadUint64(word)
		next := signalfile.LittleEndian(old) + 1
		if atomic.CompareAndSwapUint64(word, old, signalfile.LittleEndian(next)) {
			return next
		}
	}
}
