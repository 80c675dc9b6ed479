package rand

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// signalFileSize is the least size in bytes of a regular file that is mapped as a signal.
const signalFileSize = 64

// mapSignal maps the first page of path, shared and read-only, and returns its first words.
//
// What is decided is decided about the open descriptor, so the path is looked at once. Opening cannot block
// (O_NONBLOCK: a FIFO, a tape), follows no symbolic link in the last place, and a symbolic link, a folder, a
// FIFO or a socket is refused.
// A character device is accepted when device is true: only a privileged user can have made one. A regular
// file must belong to root or the effective user, be writable by nobody else, and hold 64 bytes or more:
// its owner can shrink it, and reading a mapping past the end of its file is a SIGBUS that kills the process.
// What remains is that root, or the user himself, shrinks the file while it is mapped, and a file system that
// fails to read a page back that it has evicted (a network, a broken disk): keep the file on a tmpfs such as /run.
func mapSignal(path string, device bool, words int) ([]uint64, error) {
	fd, err := openOnce(path)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, err
	}
	regular := st.Mode&unix.S_IFMT == unix.S_IFREG
	switch {
	case regular:
		if err := trusted(&st, unix.Geteuid()); err != nil {
			return nil, err
		}
	case device && st.Mode&unix.S_IFMT == unix.S_IFCHR:
	default:
		return nil, errors.New("is not a regular file")
	}
	page := os.Getpagesize() // the drivers of both devices accept one page and no other length
	p, err := unix.MmapPtr(fd, 0, nil, uintptr(page), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("cannot be mapped: %w", err)
	}
	// Sound: p is the start of a mapping of page bytes, so it is aligned and longer than words; the garbage
	// collector does not manage it, and a slice that is returned is never unmapped.
	memory := unsafe.Slice((*uint64)(p), words)
	if regular && !mappingReadable(fd, unsafe.Slice((*byte)(p), page)) {
		unmapSignal(memory)
		return nil, errors.New("is a hole that cannot be read through a mapping; delete it and run clonerand signal init")
	}
	return memory, nil
}

// mappingReadable says whether the first page of a file can be read without a SIGBUS. Reading a hole needs room, and
// where a tmpfs is full there is none. The first call makes the page or returns an error (madvise(2), Linux 5.14). An
// older kernel says EINVAL, and user-mode emulators do nothing at all, so there must be data by then.
func mappingReadable(fd int, page []byte) bool {
	if unix.Madvise(page, unix.MADV_POPULATE_READ) == unix.EFAULT {
		return false
	}
	data, err := unix.Seek(fd, 0, unix.SEEK_DATA) // a file system that knows no holes says 0
	return err == nil && data == 0
}

// unmapSignal gives back what mapSignal returned, for a layout that is refused and that nobody else has seen.
func unmapSignal(memory []uint64) {
	_ = unix.MunmapPtr(unsafe.Pointer(unsafe.SliceData(memory)), uintptr(os.Getpagesize()))
}

func openOnce(path string) (fd int, err error) {
	const flags = unix.O_RDONLY | unix.O_NONBLOCK | unix.O_NOFOLLOW | unix.O_CLOEXEC | unix.O_NOCTTY
	for try := 0; try < 8; try++ { // a signal handler can interrupt it, but not for ever
		if fd, err = unix.Open(path, flags, 0); err != unix.EINTR {
			break
		}
	}
	if err == unix.ELOOP {
		return -1, errors.New("is a symbolic link")
	}
	return fd, err
}

// trusted says why a regular file must not be mapped by a process of the user euid, or nil.
func trusted(st *unix.Stat_t, euid int) error {
	switch {
	case st.Uid != 0 && int(st.Uid) != euid:
		return fmt.Errorf("belongs to user %d; it must be root's or this user's own", st.Uid)
	case st.Mode&0o022 != 0: // the group bits hold the mask of an access control list too
		return fmt.Errorf("is writable by others (mode %04o); chmod go-w", st.Mode&0o7777)
	case st.Size < signalFileSize:
		return fmt.Errorf("has %d bytes, fewer than %d; delete it and run clonerand signal init", st.Size, signalFileSize)
	}
	return nil
}
