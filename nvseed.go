package rand

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"
)

// Sizes of a seed file in bytes: those of Mbed TLS, MBEDTLS_ENTROPY_BLOCK_SIZE
// (with SHA-512) and MBEDTLS_ENTROPY_MAX_SEED_SIZE of its entropy.h.
const (
	nvSeedLen    = 64   // written; the least that is read
	nvSeedMaxLen = 1024 // the most that is read
)

// nvSeedWait bounds the wait for another user of the same seed.
const nvSeedWait = 10 * time.Second

// An NVSeed is a nonvolatile seed: a file that carries entropy from one start of
// a device to the next, where the device has no better source. It is an
// [io.Reader], so that it can be the only source of a generator, as
// [Config].Entropy, or go into its seeding beside another one, as
// [Config].NVSeed.
//
// Each Read reads the whole file, derives its output and the next seed from it,
// puts the next seed in the file's place, and hands out the output only when the
// next seed is on the disk for good. So neither two processes nor two runs of
// one process ever get output from the same seed, whenever one of them is killed
// or the power fails. A copy of the file is another matter: whoever holds it can
// do the same again, and is kept apart by process ID, clocks and personalization only.
//
// The file holds 64 raw bytes, or up to 1024 that another program put there:
// the format of Mbed TLS's mbedtls_entropy_write_seed_file. Beside it lie
// FILE.lock, an advisory lock (fcntl, or LockFileEx on Windows) that stays, and for
// the time of a write FILE.next. All of them have mode 0600 and the owner of FILE.
// A symbolic link to a seed stays; the file that it points to is replaced.
//
// An NVSeed is safe for concurrent use, in any number of goroutines, processes
// and forked children. It keeps no file open.
type NVSeed struct {
	path string        // absolute, as the user named it
	wait time.Duration // how long a draw waits for its turn

	// What tests replace. Both are nil otherwise.
	step  func(name string) // called between any two steps of a draw
	stamp func() []byte     // instead of takeStamp's own
}

// CreateNVSeed makes the seed file path with 64 bytes of the system source,
// mode 0600. It is an error if path exists: a seed that is in use must not be
// set back. Run it as the user who will read the seed, on the device's first start
// if the device has a source then, else where its image is made, for each device anew.
//
// Other errors, and the systems on which it is [errors.ErrUnsupported], are those
// of [OpenNVSeed].
func CreateNVSeed(path string) error {
	s, err := newNVSeed(path)
	if err != nil {
		return err
	}
	if err := absent(s.path); err != nil { // no lock beside what is no seed
		return s.fail(err)
	}
	unlock, err := s.lock(s.path, nil)
	if err != nil {
		return s.fail(err)
	}
	defer unlock()
	if err := absent(s.path); err != nil { // somebody else may have been first
		return s.fail(err)
	}
	var first [nvSeedLen]byte
	defer clear(first[:])
	if _, err := io.ReadFull(systemReader, first[:]); err != nil {
		return s.fail(err)
	}
	return s.fail(s.replace(s.path, first[:], nil))
}

// OpenNVSeed checks that path is a seed that can be used and returns it. It
// takes the lock and writes FILE.next for a trial, but leaves the seed as it is.
// Relative paths are made absolute, so that a later chdir does not matter.
//
// It is an error if the file is missing, is no regular file (nothing ever blocks
// on a FIFO), has less than 64 or more than 1024 bytes, holds one and the same
// byte throughout, has a second hard link (which would keep the old seed), or is
// accessible to group or others; if its folder is read-only or full; or if another
// process holds the lock for more than ten seconds. The error says what to do.
// On Windows, where files have no mode, the folder's access control list must
// keep others out.
//
// It is [errors.ErrUnsupported] where there is no lock between processes: Plan 9,
// js and wasip1.
func OpenNVSeed(path string) (*NVSeed, error) {
	s, err := newNVSeed(path)
	if err != nil {
		return nil, err
	}
	if err := s.try(); err != nil {
		return nil, s.fail(err)
	}
	return s, nil
}

func newNVSeed(path string) (*NVSeed, error) {
	if !lockSupported {
		return nil, fmt.Errorf("clonerand: NV seed %s: no lock between processes on this system: %w", path, errors.ErrUnsupported)
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("clonerand: NV seed %s: %w", path, err)
	}
	return &NVSeed{path: abs, wait: nvSeedWait}, nil
}

// Read fills b with output of the seed and advances the file once, whatever the
// length of b; an empty b does nothing. It returns len(b) and nil, or 0 and an
// error as [OpenNVSeed] does, and then b is as it was: nothing was drawn. The
// next Read tries again.
//
// Process ID, a counter of this process and the clocks go into the output, so
// that a copied file alone does not repeat it. That is no protection against
// someone who knows the file.
func (s *NVSeed) Read(b []byte) (n int, err error) {
	if err := s.draw(b, nil); err != nil {
		return 0, err
	}
	return len(b), nil
}

// draw is Read with a personalization, which goes into the output and the next seed.
func (s *NVSeed) draw(out, perso []byte) error {
	if len(out) == 0 {
		return nil
	}
	if s == nil || s.path == "" {
		return errors.New("clonerand: NV seed was not opened: call OpenNVSeed")
	}
	drbg, err := s.advance(perso)
	if err != nil {
		return s.fail(err)
	}
	defer drbg.wipe()
	// The clocks are read once more, for a clone that was made since the first time.
	for additional := s.takeStamp(); len(out) > 0; additional = nil {
		n := min(len(out), maxRequest)
		if err := drbg.generate(out[:n], additional); err != nil {
			return s.fail(err)
		}
		out = out[n:]
	}
	return nil
}

// advance puts the next seed in the place of the present one and returns the
// state that both it and the output come from.
func (s *NVSeed) advance(perso []byte) (*ctrDRBG, error) {
	file, seed, err := locate(s.path)
	if err != nil {
		return nil, err
	}
	unlock, err := s.lock(file, seed)
	if err != nil {
		return nil, err
	}
	defer unlock()
	s.at("locked")
	old, info, err := readSeed(file)
	defer clear(old)
	if err != nil {
		return nil, err
	}
	s.at("read")
	drbg := newCTRDRBG(old, s.takeStamp(), perso)
	var next [nvSeedLen]byte
	defer clear(next[:])
	err = drbg.generate(next[:], nil)
	s.at("derived")
	if err == nil {
		err = s.replace(file, next[:], info)
	}
	if err != nil {
		drbg.wipe()
		return nil, err
	}
	return drbg, nil
}

// try does all of a draw but to replace the file.
func (s *NVSeed) try() error {
	file, seed, err := locate(s.path)
	if err != nil {
		return err
	}
	unlock, err := s.lock(file, seed)
	if err != nil {
		return err
	}
	defer unlock()
	old, info, err := readSeed(file)
	clear(old)
	if err != nil {
		return err
	}
	var trial [nvSeedLen]byte
	next, err := s.write(file, trial[:], info)
	if err != nil {
		return err
	}
	return os.Remove(next)
}

func (s *NVSeed) at(step string) {
	if s.step != nil {
		s.step(step)
	}
}

func (s *NVSeed) fail(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("clonerand: NV seed %s: %w", s.path, err)
}

var nvSeedDraws atomic.Uint64

// takeStamp returns what tells apart draws from one and the same seed, those of
// copies of the file: a count, and the PID, the cycle counter, the clocks and what
// the clone signals say.
func (s *NVSeed) takeStamp() []byte {
	if s.stamp != nil {
		return s.stamp()
	}
	b := binary.LittleEndian.AppendUint64([]byte("clonerand NVseed"), nvSeedDraws.Add(1))
	return thisHost().eventInput(b)
}
