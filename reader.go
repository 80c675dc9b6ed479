package rand

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync/atomic"
	"unsafe"
)

// Config says how New is to make a Generator. The zero Config is a generator like
// the one behind Reader.
type Config struct {
	// Entropy is where the generator seeds itself from; nil is the system source:
	// the operating system and the CPU's random instruction. crypto/rand's Reader
	// and this package's Reader mean nil, too. Each seeding is one io.ReadFull of
	// 48 bytes; a source that returns (0, nil) a hundred times in a row has failed
	// with io.ErrNoProgress. It need not be safe for concurrent use.
	//
	// With an Entropy of its own a generator is deterministic: for the same stream,
	// the same calls by one goroutine and no event noticed, its output is
	// the same.
	Entropy io.Reader

	// Personalization goes into the instantiation (SP 800-90A, 8.7.1). It may have
	// any length and need not be secret; it is copied.
	Personalization []byte

	// NVSeed is mixed into the first seeding beside Entropy. When it can not be read
	// New fails. To have it as the only source make it Entropy instead.
	NVSeed *NVSeed

	// PredictionResistance makes every Read reseed first, see SetPredictionResistance.
	PredictionResistance bool

	// ReseedInterval is how many Generate calls of the DRBG may lie between two
	// reseeds; small Reads share one of 4096 bytes. 0 is 10,000, as in Mbed TLS; more
	// than 2^48 (SP 800-90A, table 3) is an error.
	ReseedInterval uint64
}

// defaultReseedInterval is MBEDTLS_CTR_DRBG_RESEED_INTERVAL of Mbed TLS.
const defaultReseedInterval = 10_000

// config is a Config that was checked, and the machine that it is for.
type config struct {
	host     *host
	entropy  io.Reader // nil: the system source
	nv       *NVSeed   // the same as entropy, where that is an NV seed
	perso    []byte
	interval uint64

	// accepted counts, for a generator with an NV seed as its only source, the events
	// other than forks that it was told to go on after.
	accepted atomic.Uint64
}

// draw makes one seeding's entropy. extra is known to go into the state beside it.
func (c *config) draw(b, extra []byte) error {
	switch {
	case c.nv != nil:
		// The file gives other bytes to each of those who draw from it, and is told who
		// draws, for the case that the file itself was copied.
		if err := c.nv.draw(b, extra); err != nil {
			return fmt.Errorf("%w: %w", ErrEntropy, err)
		}
		return nil
	case c.entropy != nil:
		return readEntropy(c.entropy, b)
	default:
		return readEntropy(c.host.system, b)
	}
}

// admit refuses to seed from an NV seed that was cloned with the machine.
func (c *config) admit(s *sighting) error {
	if c.nv != nil && s.number-s.forks != c.accepted.Load() {
		return ErrCloned
	}
	return nil
}

// accept is the word of the caller that this clone was told what makes it unique.
func (c *config) accept() {
	now := c.host.clones.current()
	c.accepted.Store(now.number - now.forks)
}

// An order is what Reseed, Deplete and SetPredictionResistance have asked for so
// far. It is immutable; who asks for more swaps in the next one. States seeded
// under another id are reseeded before their next use.
type order struct {
	id      uint64
	resist  bool          // prediction resistance
	chained bool          // something is in the chain
	chain   [seedLen]byte // all personalizations of Reseed, and of the default Reader the entropy drawn with them
}

// chainOn returns an order that follows o with what was derived from the chain
// and the inputs.
func (o *order) chainOn(input ...[]byte) *order {
	next := &order{id: o.id + 1, resist: o.resist, chained: true}
	df := new(derivation)
	df.derive(&next.chain, append([][]byte{o.chain[:]}, input...)...)
	return next
}

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
		if err := cfg.NVSeed.draw(seed[:], h.eventInput(nil)); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrEntropy, err)
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
		if s.lock.tryLock(s.host.clones.forks()) {
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

// reader is the default generator: as many instances as it takes for goroutines on
// all CPUs to find one that is free. The zero value is ready for use.
type reader struct {
	order atomic.Pointer[order]
	fleet atomic.Pointer[fleet]
}

// A fleet is the instances of a reader; each is made when it is first needed.
type fleet struct {
	conf   *config
	clones *cloneWatch
	pause  *pauseDetector
	shards []atomic.Pointer[instance] // a power of two of them
}

func newFleet(c *config) *fleet {
	n := 16
	for n < 2*runtime.NumCPU() {
		n *= 2
	}
	return &fleet{conf: c, clones: c.host.clones, pause: c.host.pause, shards: make([]atomic.Pointer[instance], n)}
}

var defaultReader = new(reader)

// Read fills b. It returns an error only where the operating system's generator
// fails, which crypto/rand documents not to happen; b is then cleared.
func (r *reader) Read(b []byte) (n int, err error) {
	o, f := r.order.Load(), r.fleet.Load()
	if o == nil || f == nil {
		o, f = r.start()
	}
	// Goroutines are told apart by where their stacks are: 2 KiB is the smallest. The
	// address is a number here, and nothing is read through it.
	var here byte
	home := uint64(uintptr(unsafe.Pointer(&here))) >> 11 * 0x9E3779B97F4A7C15 >> 32
	s := f.shards[home&uint64(len(f.shards)-1)].Load()
	now := f.pause.peek()
	if s == nil || !s.lock.tryLock(f.clones.forks()) {
		s = f.acquire(home)
		now = f.pause.peek() // to wait for a lock may take long enough for a clone
	}
	if !s.quick(b, o, now) {
		err = s.read(b, o, now)
	}
	s.lock.unlock()
	if err != nil {
		return 0, err
	}
	return len(b), nil
}

// start makes what a reader needs, at first use. It has no lock: of two that start
// at once one wins.
func (r *reader) start() (*order, *fleet) {
	if r.fleet.Load() == nil {
		r.fleet.CompareAndSwap(nil, newFleet(&config{host: thisHost(), interval: defaultReseedInterval}))
	}
	r.order.CompareAndSwap(nil, &order{id: 1})
	return r.order.Load(), r.fleet.Load()
}

// acquire returns an instance with its lock held: the home shard if it is there and
// free, or else the next.
func (f *fleet) acquire(home uint64) *instance {
	for try := 0; ; try++ {
		forks := f.clones.current().forks
		for i := range f.shards {
			slot := &f.shards[(home+uint64(i))&uint64(len(f.shards)-1)]
			s := slot.Load()
			if s == nil {
				slot.CompareAndSwap(nil, newInstance(f.conf))
				s = slot.Load()
			}
			if s.lock.tryLock(forks) {
				return s
			}
			if s.lock.abandoned(forks) {
				// Taken at once: where all are abandoned, to wait for another turn would be to wait
				// for the scheduler, which a forked child may not have.
				heir := s.makeHeir()
				heir.lock.tryLock(forks)
				if slot.CompareAndSwap(s, heir) {
					return heir
				}
			}
		}
		backOff(try)
	}
}
