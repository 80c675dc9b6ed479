package rand

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
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
// Each Read derives its output and the next seed from the whole file, puts the
// next seed in the file's place, and returns the output only when the next seed
// is on the disk for good. So no two processes get output from the same seed, and
// no two runs of one process, even if one is killed or the power fails. Whoever
// holds a copy of the file can derive the same again: only process ID, clocks
// and personalization keep copies apart.
//
// The file holds 64 raw bytes, or up to 1024 that another program put there:
// the format of Mbed TLS's mbedtls_entropy_write_seed_file. Beside it lies
// FILE.lock, an advisory lock (fcntl, or LockFileEx on Windows), which stays, and
// during a write FILE.next. All three have mode 0600 and the same owner.
//
// Whoever can put a seed there knows what is drawn from it. So the seed and its
// folder must belong to root or to the effective user, and nobody else may be
// able to write in the folder, sticky or not. The same holds for symbolic links
// on the way and for the folders above; of these a sticky one may be writable. A
// symbolic link to a seed stays; the file that it leads to is replaced.
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
// mode 0600. It is an error if path exists: a seed in use must not be set back.
// Run it as the user who will read the seed: at the device's first start if it
// has a source then, else where its image is made, once for each device.
//
// Other errors, and the systems on which it is [errors.ErrUnsupported], are those
// of [OpenNVSeed].
func CreateNVSeed(path string) error {
	s, err := newNVSeed(path)
	if err != nil {
		return err
	}
	p, err := openFolder(s.path, false)
	if err != nil {
		return s.fail(err)
	}
	defer p.close()
	if err := p.absent(); err != nil { // no lock beside what is no seed
		return s.fail(err)
	}
	unlock, err := s.lock(p, nil)
	if err != nil {
		return s.fail(err)
	}
	defer unlock()
	if err := p.absent(); err != nil { // somebody else may have been first
		return s.fail(err)
	}
	var first [nvSeedLen]byte
	defer clear(first[:])
	if _, err := io.ReadFull(systemReader, first[:]); err != nil {
		return s.fail(err)
	}
	return s.fail(s.replace(p, first[:], nil))
}

// OpenNVSeed checks that path is a usable seed, and returns it. It tries
// all steps of a draw but the last: it takes the lock, writes FILE.next and
// removes it, and leaves the seed as it is. Relative paths are made absolute, so
// that a later chdir does not matter.
//
// It is an error if the file
//   - is missing, or is no regular file (nothing ever blocks on a FIFO);
//   - is named like a file that lies beside a seed, *.lock or *.next;
//   - has less than 64 or more than 1024 bytes, or one and the same byte throughout, or is
//     a PEM file, such as a private key that was named by mistake;
//   - is accessible to group or others, or others can replace it or lead path
//     elsewhere (see [NVSeed]);
//   - has a second hard link, which would keep the old seed;
//   - cannot be replaced: its folder is read-only or full, it is a mount of its own
//     (Linux 5.8 and later tell), or an attribute forbids it (chattr +i);
//   - is locked by another process for more than ten seconds.
//
// The error says what to do. On Windows, where files have no mode, the folder's
// access control list must keep others out.
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
	abs, err := absolute(path)
	if err != nil {
		return nil, fmt.Errorf("clonerand: NV seed %s: %w", path, err)
	}
	return &NVSeed{path: abs, wait: nvSeedWait}, nil
}

// Read fills b with output of the seed. It advances the file once, whatever the
// length of b; an empty b does nothing. It returns len(b) and nil, or 0 and an
// error as [OpenNVSeed] does. Then b is as it was, since nothing was drawn, and
// the next Read tries again.
//
// Process ID, a counter of this process and the clocks go into the output, so
// that a copied file alone does not repeat it. That does not protect against
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
	p, seed, err := openSeedFolder(s.path)
	if err != nil {
		return nil, err
	}
	defer p.close()
	s.at("opened")
	unlock, err := s.lock(p, seed)
	if err != nil {
		return nil, err
	}
	defer unlock()
	s.at("locked")
	old, info, err := p.readSeed()
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
		err = s.replace(p, next[:], info)
	}
	if err != nil {
		drbg.wipe()
		return nil, err
	}
	return drbg, nil
}

// try does all of a draw but the rename, which it tries in a way that cannot succeed.
func (s *NVSeed) try() error {
	p, seed, err := openSeedFolder(s.path)
	if err != nil {
		return err
	}
	defer p.close()
	unlock, err := s.lock(p, seed)
	if err != nil {
		return err
	}
	defer unlock()
	old, info, err := p.readSeed()
	clear(old)
	if err != nil {
		return err
	}
	if err := p.checkReplaceable(); err != nil {
		return err
	}
	var trial [nvSeedLen]byte
	if err := s.write(p, trial[:], info); err != nil {
		return err
	}
	if err := p.remove(p.name + nextSuffix); err != nil {
		return p.advise(err)
	}
	return p.sync()
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

// takeStamp returns what tells draws from two copies of one seed apart: a count, the
// PID, the cycle counter, the clocks and what the clone signals say.
func (s *NVSeed) takeStamp() []byte {
	if s.stamp != nil {
		return s.stamp()
	}
	b := binary.LittleEndian.AppendUint64([]byte("clonerand NVseed"), nvSeedDraws.Add(1))
	return thisHost.eventInput(b)
}
