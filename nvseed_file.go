package rand

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// A seedFolder is the folder of a seed file, opened once for a draw. All of the draw is done relative to it, so it
// does not matter where the folder's name leads in the meantime.
type seedFolder struct {
	path string   // of the folder, without symbolic links
	name string   // of the seed in it
	root *os.Root // for what is done to files in it
	dir  *os.File // for what is done to the folder itself
}

// openFolder opens the folder of a seed. Where follow is true, and path is a symbolic link, it is the folder of
// the file that the link leads to: a link in /etc to a seed in /var is common, and must survive. What does not
// look like a folder for a seed is refused before anything is made in it.
func openFolder(path string, follow bool) (*seedFolder, error) {
	folder, name, err := resolveSeed(path, follow)
	if err != nil {
		return nil, err
	}
	if err := checkName(name); err != nil {
		return nil, err
	}
	p := &seedFolder{path: folder, name: name}
	named, err := statFolder(folder)
	if err != nil {
		return nil, adviseSeed(folder, err)
	}
	if p.root, err = os.OpenRoot(folder); err != nil {
		return nil, adviseSeed(folder, err)
	}
	if p.dir, err = p.root.Open("."); err != nil {
		p.root.Close()
		return nil, p.advise(err)
	}
	info, err := p.dir.Stat()
	switch {
	case err != nil:
	case !os.SameFile(named, info):
		err = errors.New("its folder was replaced at this moment: try again")
	default:
		err = checkSeedFolder(folder, info)
	}
	if err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// openSeedFolder is openFolder for a seed that is there. It looks at the seed without opening it, since opening
// alone has effects on some devices. What does not look like a seed gets no lock file beside it.
func openSeedFolder(path string) (*seedFolder, fs.FileInfo, error) {
	p, err := openFolder(path, true)
	if err != nil {
		return nil, nil, err
	}
	info, err := p.look()
	if err != nil {
		p.close()
		return nil, nil, err
	}
	return p, info, nil
}

func (p *seedFolder) close() {
	p.dir.Close()
	p.root.Close()
}

// full is the whole path of a file in the folder.
func (p *seedFolder) full(name string) string { return filepath.Join(p.path, name) }

// named returns an error of a file in the folder with its whole path.
func (p *seedFolder) named(name string, err error) error {
	if wrapped := (*fs.PathError)(nil); errors.As(err, &wrapped) {
		return &fs.PathError{Op: wrapped.Op, Path: p.full(name), Err: wrapped.Err}
	}
	return err
}

func (p *seedFolder) open(name string, flags int) (*os.File, error) {
	f, err := p.root.OpenFile(name, flags|openFlags, 0o600)
	return f, p.named(name, err)
}

func (p *seedFolder) lstat(name string) (fs.FileInfo, error) {
	var info fs.FileInfo
	err := notInterrupted(func() (err error) {
		info, err = p.root.Lstat(name)
		return err
	})
	return info, p.named(name, err)
}

// notInterrupted calls again what a signal has interrupted: os does that for most calls, but
// [os.Root] not for all. FUSE and some mounts of NFS can be interrupted, and Go's scheduler
// sends signals.
func notInterrupted(call func() error) error {
	for {
		if err := call(); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// look returns what the file system says about the seed, if that is right for one.
func (p *seedFolder) look() (fs.FileInfo, error) {
	info, err := p.lstat(p.name)
	if err != nil {
		return nil, missing(err)
	}
	return info, checkSeed(p.full(p.name), info)
}

// absent is an error if there is anything at the place of the seed.
func (p *seedFolder) absent() error {
	switch _, err := p.lstat(p.name); {
	case err == nil:
		return mend(fs.ErrExist, "a seed in use must not be set back: choose another name, or remove it if nothing uses it")
	case errors.Is(err, fs.ErrNotExist):
		return nil
	default:
		return p.advise(err)
	}
}

// readSeed returns the whole seed and what the file system says about it. The
// caller clears the seed, also beside an error.
func (p *seedFolder) readSeed() ([]byte, fs.FileInfo, error) {
	seen, err := p.look() // again: it may have been replaced
	if err != nil {
		return nil, nil, err
	}
	f, err := p.open(p.name, os.O_RDONLY)
	if err != nil {
		return nil, nil, missing(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil && !os.SameFile(seen, info) {
		err = errors.New("was replaced at this moment, and not by a draw: try again")
	}
	if err == nil {
		err = checkSeed(p.full(p.name), info)
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
	if err == nil && isPEM(b) {
		err = mend(errors.New("is a PEM file, which a draw would destroy"), "name a seed file")
	}
	return b, info, err
}

// replace puts seed in the seed's place, for good when it returns nil. like is the
// present file, nil if there is none.
func (s *NVSeed) replace(p *seedFolder, seed []byte, like fs.FileInfo) error {
	if err := s.write(p, seed, like); err != nil {
		return err
	}
	s.at("closed")
	if err := p.rename(p.name+nextSuffix, p.name); err != nil {
		_ = p.remove(p.name + nextSuffix)
		return p.adviseRename(err)
	}
	s.at("renamed")
	if err := p.sync(); err != nil {
		return err
	}
	s.at("durable")
	return nil
}

// write makes FILE.next with seed in it and sees it onto the disk. What a crash
// left there is removed first: it was never anyone's seed.
func (s *NVSeed) write(p *seedFolder, seed []byte, like fs.FileInfo) error {
	next := p.name + nextSuffix
	if err := p.remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return p.advise(err)
	}
	s.at("removed")
	f, err := p.open(next, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return p.advise(err)
	}
	s.at("created")
	err = s.writeTo(f, seed, like)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		_ = p.remove(next)
		return p.advise(err)
	}
	return nil
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

// sync makes a rename in the folder last through a power failure.
func (p *seedFolder) sync() error {
	if err := syncFolder(p.dir); err != nil {
		return fmt.Errorf("the folder cannot be synchronized, so a power failure could bring the old seed back: %w", p.advise(err))
	}
	return nil
}
