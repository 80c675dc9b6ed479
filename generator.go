package rand

import "encoding/binary"

// A Generator is one CTR_DRBG of its own. Its methods are safe for concurrent use; they
// take turns. Make one with [New]. It must not be copied.
type Generator struct{ pool pool }

// New instantiates a generator and seeds it, as cfg says; nil is the zero [Config]. It
// returns [ErrEntropy], and no generator, when the source fails. Where a clone signal comes
// in the middle it may return [ErrCloned]: call it again. Other errors say what of cfg
// cannot be had.
//
// It mirrors psa_crypto_init for the instance that it makes, and CTR_DRBG
// Instantiate of SP 800-90A, 10.2.1.3.2.
func New(cfg *Config) (*Generator, error) {
	if cfg == nil {
		cfg = new(Config)
	}
	return newGenerator(cfg, thisHost)
}

func newGenerator(cfg *Config, h *host) (*Generator, error) {
	c, err := cfg.check(h)
	if err != nil {
		return nil, err
	}
	first := &epoch{id: 1, resist: cfg.PredictionResistance}
	if cfg.NVSeed != nil {
		var seed [seedLen]byte
		defer clear(seed[:])
		if err := drawNVSeed(cfg.NVSeed, seed[:], h.eventInput(nil)); err != nil {
			return nil, err
		}
		first = first.chainOn(seed[:])
	}
	g := new(Generator)
	g.pool.set(c, first, 1)
	s := g.pool.acquire(0)
	made := false
	defer func() {
		if !made { // also where Entropy did not return
			s.close()
			first.wipe()
		}
		s.release()
	}()
	s.begin(0)
	if err := s.seed(first, true); err != nil {
		return nil, err
	}
	made = true
	return g, nil
}

// Read fills b. It returns len(b) and no error, or 0 and an error: [ErrEntropy] or
// [ErrCloned] where a reseed was due and failed, [fs.ErrClosed] after [Generator.Close].
// Then b is cleared, and the next Read tries again. If the operating system's generator
// fails after the first seeding the program crashes, as with crypto/rand. A Read of no
// bytes does nothing, and returns no error.
func (g *Generator) Read(b []byte) (n int, err error) {
	if len(b) == 0 {
		return 0, nil
	}
	if g.pool.shards.Load() == nil {
		clear(b)
		return 0, errNoGenerator
	}
	return g.pool.read(b, false)
}

// Uint64 returns a uniform 64-bit value. It makes a Generator a Source of math/rand/v2.
// It crashes the program where [Generator.Read] would return an error.
func (g *Generator) Uint64() uint64 {
	var b [8]byte
	if _, err := g.Read(b[:]); err != nil {
		fatal("clonerand: Uint64: " + err.Error())
	}
	return binary.LittleEndian.Uint64(b[:])
}

// Close wipes the secrets of the generator and ends it. It waits for Reads and Reseeds that
// are under way. After it has returned, Read, Reseed and SetPredictionResistance return an
// error that is [fs.ErrClosed]. To close it again is no error. It does not touch Entropy or
// an [NVSeed].
//
// Where [Inspect] says that secrets lie in pages of their own, a generator that is
// unreachable is wiped after the next collection, too. So nobody has to call Close there.
func (g *Generator) Close() error {
	if g.pool.shards.Load() == nil {
		return errNoGenerator
	}
	last := replaceEpoch(&g.pool.epoch, (*epoch).ended)
	s := g.pool.acquire(0)
	defer s.release()
	s.close()
	last.wipe()
	return nil
}
