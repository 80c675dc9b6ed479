package signalfile

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"github.com/clonerand/rand/internal/owner"
	"golang.org/x/sys/unix"
)

// ErrUnfinished says that a file has not all of its bytes yet. Nobody has it mapped.
var ErrUnfinished = errors.New("is unfinished; run clonerand signal init")

// Open opens a file without side effects: it does not block (a FIFO, a tape) and does not follow a symbolic link in
// the last place. flags say how to open. The caller calls [Check].
func Open(path string, flags int) (fd int, err error) {
	flags |= unix.O_NONBLOCK | unix.O_NOFOLLOW | unix.O_CLOEXEC | unix.O_NOCTTY
	for range 8 { // a signal handler can interrupt it, but not for ever
		if fd, err = unix.Open(path, flags, 0); err != unix.EINTR {
			break
		}
	}
	if err == unix.ELOOP {
		return -1, errors.New("is a symbolic link; name the file itself")
	}
	return fd, err
}

// Check decides about an open file, so that its path is looked at once. It returns why the file must not be mapped,
// or nil. A folder, a FIFO and a socket are refused. A character device is accepted if device is true: only a
// privileged user can have made one. A regular file must belong to root or the effective user, be writable
// by nobody else, and hold [Size] bytes: its owner can shrink it, and a read of a mapping past the end of its
// file is a SIGBUS, which ends the process.
func Check(fd int, device bool) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return checkRegular(&st)
	case unix.S_IFCHR:
		if device {
			return nil
		}
	}
	return errors.New("is not a regular file")
}

func checkRegular(st *unix.Stat_t) error {
	if err := owner.Check(int(st.Uid)); err != nil {
		return err
	}
	switch {
	case st.Mode&0o022 != 0: // the group bits hold the mask of an access control list too
		return fmt.Errorf("is writable by others (mode %04o); chmod go-w", st.Mode&0o7777)
	case st.Size < Size:
		return fmt.Errorf("has %d bytes, fewer than %d: %w", st.Size, Size, ErrUnfinished)
	}
	return nil
}

// Map maps the first page of an open file that [Check] has accepted, shared and read-only, and returns its first words.
// Two dangers remain: root or the user himself shrinks the file while it is mapped, or its file system fails to read
// back a page that was evicted (a network, a broken disk). So keep the file on a tmpfs such as /run.
func Map(fd int, words int) ([]uint64, error) {
	page := os.Getpagesize() // the drivers of the devices accept one page and no other length
	p, err := unix.MmapPtr(fd, 0, nil, uintptr(page), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("cannot be mapped: %w", err)
	}
	// Sound: p is the start of a mapping of page bytes, so it is aligned and longer than words; the garbage
	// collector does not manage it, and nobody uses a slice after Unmap.
	memory := unsafe.Slice((*uint64)(p), words)
	if !readable(fd, unsafe.Slice((*byte)(p), page)) {
		Unmap(memory)
		return nil, fmt.Errorf("is a hole that cannot be read through a mapping (its file system may be full): %w", ErrUnfinished)
	}
	return memory, nil
}

// Unmap gives back what [Map] returned and nobody else has seen.
func Unmap(memory []uint64) {
	_ = unix.MunmapPtr(unsafe.Pointer(unsafe.SliceData(memory)), uintptr(os.Getpagesize()))
}

// readable reports whether the first page of a file can be read without a SIGBUS. Reading a hole needs room, and
// where a tmpfs is full there is none. The first call makes the page or returns an error (madvise(2), Linux 5.14). An
// older kernel says EINVAL, and user-mode emulators do nothing at all, so there must be data by then. A device has no holes.
func readable(fd int, page []byte) bool {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return err == nil
	}
	if unix.Madvise(page, unix.MADV_POPULATE_READ) == unix.EFAULT {
		return false
	}
	data, err := unix.Seek(fd, 0, unix.SEEK_DATA) // a file system that knows no holes says 0
	return err == nil && data == 0
}
