package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/clonerand/rand"
	"golang.org/x/sys/unix"
)

// initGeneration makes a generation file. A file that is there, and that processes would use, is left alone: they
// may have mapped it already.
func initGeneration(path string) (created bool, err error) {
	dir := filepath.Dir(path)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		// Chmod, since others must be able to look into it whatever the umask of the hook is.
		if err := errors.Join(os.MkdirAll(dir, 0o755), os.Chmod(dir, 0o755)); err != nil {
			return false, withMend(err)
		}
	}
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		if err := createWhole(dir, path); err == nil {
			return true, nil
		} else if !errors.Is(err, fs.ErrExist) { // else somebody was faster, and theirs counts
			return false, withMend(err)
		}
	}
	f, err := openGeneration(path, os.O_RDONLY)
	if err != nil {
		return false, err
	}
	return false, f.Close()
}

// createWhole makes the file under another name and links it into its place, so that nobody ever maps a file that
// is shorter, and nothing is replaced.
//
// The counter starts at a random number: a process that is checkpointed on one machine, or before a reboot, and
// restored where the file is another one must not find the number that it knows.
func createWhole(dir, path string) error {
	var content [generationSize]byte
	rand.Read(content[:])
	f, err := os.CreateTemp(dir, ".generation-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(content[:])
	return errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close(), os.Link(f.Name(), path))
}

func withMend(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w; run it as root, or name a FILE of your own and let CLONERAND_GENERATION name it too", err)
	}
	return err
}

// openGeneration opens a file that processes of this package would map, by the rules that they have for it.
func openGeneration(path string, mode int) (*os.File, error) {
	f, err := os.OpenFile(path, mode|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s: not there; make it with: clonerand signal init", path)
	case errors.Is(err, unix.ELOOP):
		return nil, fmt.Errorf("%s: is a symbolic link; name the file itself", path)
	case err != nil:
		return nil, withMend(err)
	}
	var st unix.Stat_t
	err = unix.Fstat(int(f.Fd()), &st)
	switch {
	case err != nil:
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		err = errors.New("is not a regular file")
	case st.Uid != 0 && int(st.Uid) != os.Geteuid():
		err = fmt.Errorf("belongs to user %d; it must be root's or this user's own", st.Uid)
	case st.Mode&0o022 != 0:
		err = fmt.Errorf("is writable by others (mode %04o); chmod go-w", st.Mode&0o7777)
	case st.Size < generationSize:
		err = fmt.Errorf("has %d bytes, fewer than %d; delete it while no process uses it and run: clonerand signal init", st.Size, generationSize)
	default:
		return f, nil
	}
	f.Close()
	return nil, fmt.Errorf("%s: %w", path, err)
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
// A reader that finds a new counter reads the identity after it, so it gets all of the new one, or parts of one that is
// still newer, whose counter is yet to come and makes it read again. Two bumps at once both count, since the counter is
// added to in one step. The lock keeps their identities from being mixed; it is not waited for long, since everybody
// who can read the file can hold it.
func bumpGeneration(path string, id [identitySize]byte) (generation uint64, err error) {
	f, err := openGeneration(path, os.O_RDWR)
	if err != nil {
		return 0, err
	}
	defer f.Close() // and so unlocks
	for try := 0; try < 100 && unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil; try++ {
		time.Sleep(10 * time.Millisecond)
	}
	page, err := unix.Mmap(int(f.Fd()), 0, generationSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return 0, fmt.Errorf("%s: cannot be mapped: %w", path, err)
	}
	defer unix.Munmap(page)
	// Writing to a hole needs room, and where there is none it is a SIGBUS; this gets an error instead (Linux 5.14).
	if unix.Madvise(page, unix.MADV_POPULATE_WRITE) == unix.EFAULT {
		return 0, fmt.Errorf("%s: cannot be written through a mapping (is its file system full?)", path)
	}
	// Sound: page is the start of a mapping of 64 bytes, so it is aligned, and it is unmapped after the last use.
	words := (*[generationSize / 8]uint64)(unsafe.Pointer(&page[0]))
	for i := 1; i < len(words); i++ {
		atomic.StoreUint64(&words[i], binary.NativeEndian.Uint64(id[8*(i-1):]))
	}
	return addLittleEndian(&words[0]), nil
}

// addLittleEndian adds one to a little-endian number in memory that others add to at the same time.
func addLittleEndian(word *uint64) uint64 {
	for {
		old := atomic.LoadUint64(word)
		var b [8]byte
		binary.NativeEndian.PutUint64(b[:], old)
		next := binary.LittleEndian.Uint64(b[:]) + 1
		binary.LittleEndian.PutUint64(b[:], next)
		if atomic.CompareAndSwapUint64(word, old, binary.NativeEndian.Uint64(b[:])) {
			return next
		}
	}
}
