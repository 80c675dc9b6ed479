package rand

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// locate follows symbolic links, so that what is locked and replaced is the file
// itself: a link in /etc to a seed in /var is common, and must survive. It looks at
// the file without opening it, since opening alone has effects on some devices.
// What does not look like a seed gets no lock file beside it.
func locate(path string) (file string, info fs.FileInfo, err error) {
	named, err := os.Lstat(path)
	if err != nil {
		return "", nil, missing(err)
	}
	if named.Mode()&fs.ModeSymlink == 0 {
		return path, named, checkSeed(path, named)
	}
	if file, err = filepath.EvalSymlinks(path); err != nil {
		return "", nil, mend(err, "the symbolic link leads nowhere: point it to a seed file")
	}
	if info, err = os.Lstat(file); err != nil {
		return "", nil, missing(err)
	}
	if err := checkSeed(file, info); err != nil {
		return "", nil, err
	}
	return file, info, checkLink(named, info)
}

// absent is an error if there is anything at path.
func absent(path string) error {
	switch _, err := os.Lstat(path); {
	case err == nil:
		return mend(fs.ErrExist, "a seed in use must not be set back: choose another name, or remove it if nothing uses it")
	case errors.Is(err, fs.ErrNotExist):
		return nil
	default:
		return err
	}
}

// readSeed returns the whole seed and what the file system says about it. The
// caller clears the seed, also beside an error.
func readSeed(file string) ([]byte, fs.FileInfo, error) {
	if _, _, err := locate(file); err != nil { // again: it may have been replaced
		return nil, nil, err
	}
	f, err := os.OpenFile(file, os.O_RDONLY|openFlags, 0)
	if err != nil {
		return nil, nil, missing(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil {
		err = checkSeed(file, info)
	}
	if err != nil {
		return nil, nil, err
	}
	b := make([]byte, nvSeedMaxLen+1)
	n, err := io.ReadFull(f, b)
	b = b[:n]
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = nil
	}
	if err == nil {
		err = checkSize(int64(n)) // it may have changed under our hands
	}
	if err == nil && blank(b) {
		err = mend(fmt.Errorf("every byte is %#02x, which is no entropy", b[0]), adviceNewSeed)
	}
	return b, info, err
}

const adviceNewSeed = "remove it, and put a seed there as for a new device (clonerand seed create)"

func checkSeed(file string, info fs.FileInfo) error {
	if err := checkRegular(info); err != nil {
		return err
	}
	if err := checkSize(info.Size()); err != nil {
		return err
	}
	return checkAccess(file, info)
}

func checkRegular(info fs.FileInfo) error {
	switch mode := info.Mode(); {
	case mode.IsRegular():
		return nil
	case mode.IsDir():
		return mend(errors.New("is a folder"), "name the seed file in it")
	default:
		return mend(fmt.Errorf("is no regular file (%v)", mode.Type()), "name a seed file")
	}
}

func checkSize(n int64) error {
	switch {
	case n < nvSeedLen:
		return mend(fmt.Errorf("%d bytes, and a seed has at least %d", n, nvSeedLen), adviceNewSeed)
	case n > nvSeedMaxLen:
		return mend(fmt.Errorf("%d bytes, and a seed has at most %d", n, nvSeedMaxLen), "this is no seed file: name another one")
	}
	return nil
}

// blank tells what a lost write leaves on a disk, or erased flash memory.
func blank(b []byte) bool {
	for _, x := range b {
		if x != b[0] {
			return false
		}
	}
	return true
}

// replace puts seed in file's place, for good when it returns nil. like is the
// present file, nil if there is none.
func (s *NVSeed) replace(file string, seed []byte, like fs.FileInfo) error {
	next, err := s.write(file, seed, like)
	if err != nil {
		return err
	}
	s.at("closed")
	if err := renameFile(next, file); err != nil {
		os.Remove(next)
		return advise(file, err)
	}
	s.at("renamed")
	if err := syncFolder(filepath.Dir(file)); err != nil {
		return fmt.Errorf("the folder can not be synchronized, so a power failure could bring the old seed back: %w", advise(file, err))
	}
	s.at("durable")
	return nil
}

// write makes FILE.next with seed in it and sees it onto the disk. What a crash
// left there is removed first: it was never anyone's seed.
func (s *NVSeed) write(file string, seed []byte, like fs.FileInfo) (next string, err error) {
	next = file + ".next"
	if err := os.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", advise(next, err)
	}
	s.at("removed")
	f, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_EXCL|openFlags, 0o600)
	if err != nil {
		return "", advise(next, err)
	}
	s.at("created")
	if err := s.writeTo(f, seed, like); err != nil {
		f.Close()
		os.Remove(next)
		return "", advise(next, err)
	}
	if err := f.Close(); err != nil {
		os.Remove(next)
		return "", advise(next, err)
	}
	return next, nil
}

func (s *NVSeed) writeTo(f *os.File, seed []byte, like fs.FileInfo) error {
	if err := ownLike(f, like); err != nil {
		return err
	}
	if _, err := f.Write(seed); err != nil {
		return err
	}
	s.at("written")
	if err := f.Sync(); err != nil {
		return err
	}
	s.at("synced")
	return nil
}

// mend adds to an error what to do about it.
func mend(err error, what string) error { return fmt.Errorf("%w: %s", err, what) }

func missing(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return mend(fs.ErrNotExist, "create it with clonerand seed create, or put the device's own seed there")
	case errors.Is(err, fs.ErrPermission):
		return mend(err, "run as the owner of the seed")
	}
	return err
}

// advise says what to do when file, or one beside it, can not be written.
func advise(file string, err error) error {
	if what := adviceFor(err); what != "" {
		return mend(err, fmt.Sprintf(what, filepath.Dir(file)))
	}
	return err
}
