package rand

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
)

// A Generator is one CTR_DRBG of its own. Its methods are safe for concurrent use;
// they take turns. Make one with New.
type Generator struct {
	conf  *config
	order atomic.Pointer[order]
	inst  atomic.Pointer[instance]
}

var errNoGenerator = errors.New("clonerand: Generator not made by New")

// New instantiates a generator and seeds it. It fails with ErrEntropy when the
// source does, and then there is no generator. A nil cfg is the zero Config.
//
// It mirrors psa_crypto_init for the instance that it makes, and CTR_DRBG
// Instantiate of SP 800-90A, 10.2.1.3.2.
func New(cfg *Config) (*Generator, error) {
	if cfg == nil {
		cfg = new(Config)
	}
	return newGenerator(cfg, thisHost())
}

func newGenerator(cfg *Config, h *host) (*Generator, error) {
	c := &config{host: h, perso: slices.Clone(cfg.Personalization), interval: cfg.ReseedInterval}
	if c.interval == 0 {
		c.interval = defaultReseedInterval
	}
	if c.interval > reseedInterval {
		return nil, fmt.Errorf("clonerand: ReseedInterval %d: the most is 2^48 (SP 800-90A, table 3)", c.interval)
	}
	if !isSystem(cfg.Entropy) {
		c.entropy = cfg.Entropy
		var seeded bool
		if c.nv, seeded = cfg.Entropy.(*NVSeed); seeded && c.nv == nil {
			return nil, fmt.Errorf("%w: Entropy is a nil *NVSeed: open one with OpenNVSeed", ErrEntropy)
		}
	}
	g := &Generator{conf: c}
	first := &order{id: 1}
	if cfg.NVSeed != nil {
		var seed [seedLen]byte
		defer clear(seed[:])
		if err := drawNVSeed(cfg.NVSeed, seed[:], h.eventInput(nil)); err != nil {
			return nil, err
		}
		first = first.chainOn(seed[:])
	}
	s := newInstance(c)
	c.accept()
	g.order.Store(first)
	g.inst.Store(s)
	if err := s.seed(first); err != nil {
		return nil, err
	}
	if cfg.PredictionResistance {
		if err := g.SetPredictionResistance(true); err != nil {
			return nil, err
		}
	}
	return g, nil
}

// Read fills b. It returns len(b) and no error, or 0 and the error of a reseed
// that was due and failed: ErrEntropy or ErrCloned. b is then cleared, and the next
// Read tries again. With the system source a failure is not expected.
func (g *Generator) Read(b []byte) (n int, err error) {
	if len(b) == 0 {
		return 0, nil
	}
	if g.conf == nil {
		clear(b)
		return 0, errNoGenerator
	}
	s := g.acquire()
	defer s.lock.unlock()
	o := g.order.Load()
	now := uint64(0)
	if s.lim != nil {
		if now = s.pause.now(); s.quick(b, o, now) {
			return len(b), nil
		}
	}
	if err := s.read(b, o, now); err != nil {
		return 0, err
	}
	return len(b), nil
}

// Uint64 returns a uniform 64-bit value; with it a Generator is a Source of
// math/rand/v2. It crashes the program where Read would return an error.
func (g *Generator) Uint64() uint64 {
	var b [8]byte
	if _, err := g.Read(b[:]); err != nil {
		fatal("clonerand: Uint64: " + err.Error())
	}
	return binary.LittleEndian.Uint64(b[:])
}

// acquire returns the instance with its lock held. It waits for those who read,
// but not for one that a fork has left behind in the parent: then another
// instance takes the place.
func (g *Generator) acquire() *instance {
	for try := 0; ; try++ {
		s := g.inst.Load()
		// A look before the lock: a holder that does not know of a fork yet would be taken
		// for one from before it, and two of them would read from Entropy at once.
		s.host.clones.number()
		if s.lock.tryLock(s.host.clones) {
			if g.inst.Load() == s {
				return s
			}
			s.lock.unlock()
			continue
		}
		if s.lock.abandoned(s.host.clones.current().forks) {
			g.inst.CompareAndSwap(s, s.makeHeir())
			continue
		}
		backOff(try)
	}
}

// makeHeir returns an instance for the place of one whose lock nobody will give
// back, and whose state may be half changed.
func (s *instance) makeHeir() *instance {
	heir := newInstance(s.conf)
	heir.heir = true
	return heir
}
