package rand

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"sync/atomic"
)

// Config says how [New] is to make a [Generator]. The zero Config is a generator like
// the one behind [Reader].
type Config struct {
	// Entropy is where the generator seeds itself from. nil is the system source: the
	// operating system and the CPU's random instruction. crypto/rand's Reader and this
	// package's [Reader] mean nil, too. Each seeding is one [io.ReadFull] of 48 bytes. A
	// source that returns (0, nil) a hundred times in a row has failed with
	// [io.ErrNoProgress]. It need not be safe for concurrent use.
	//
	// It must not call Read, Uint64, Reseed or Close of the generator that it feeds: that call
	// would wait for ever.
	//
	// Output is not a function of what Entropy gives. After a pause fresh bytes of the
	// machine are mixed in, for which Entropy is not asked. See [Config.Deterministic].
	Entropy io.Reader

	// Personalization goes into the instantiation (SP 800-90A, 8.7.1). It may have
	// any length and need not be secret; it is copied.
	Personalization []byte

	// NVSeed is mixed into the first seeding beside Entropy. Where it cannot be read
	// [New] fails. To have it as the only source make it Entropy instead.
	NVSeed *NVSeed

	// PredictionResistance makes every Read reseed first, see
	// [Generator.SetPredictionResistance].
	PredictionResistance bool

	// Deterministic is for tests and simulations. It makes the output a function of what
	// Entropy gives, as long as one goroutine uses the generator and [Generation] does not
	// move. It takes away the protection after a pause: two clones that nobody tells
	// of it return the same bytes. It needs an Entropy of its own that is no NV seed.
	Deterministic bool

	// ReseedInterval is how many Generate calls of the DRBG there may be between two
	// reseeds. Reads of up to 1,024 bytes share one Generate of 6,144 bytes; a longer Read
	// has one for each 64 KiB or part of it. 0 is 10,000, as in Mbed TLS. More than 2^48
	// (SP 800-90A, table 3) is an error.
	//
	// A pause in or before a longer Read may take a Generate more, so that the next reseed
	// comes earlier. In a Deterministic generator it does not.
	ReseedInterval uint64
}

// defaultReseedInterval is MBEDTLS_CTR_DRBG_RESEED_INTERVAL of Mbed TLS.
const defaultReseedInterval = 10_000

// config is a checked Config and the machine that it is for.
type config struct {
	host          *host
	entropy       io.Reader // nil: the system source
	nv            *NVSeed   // the same as entropy, where that is an NV seed
	perso         []byte
	deterministic bool
	interval      uint64
	forks         uint64 // how many were known when it was made
	number        uint64 // the number of the generation when it was made
	lasting       bool   // the default Reader's: its states stay until a fork, and no cleanup is needed

	// accepted is the number of clones that were known when this one was last told what makes
	// it unique. It is for a generator whose only source is an NV seed.
	accepted atomic.Uint64
}

// newConfig is the default Reader's.
func newConfig(h *host) *config {
	g := h.clones.current()
	c := &config{host: h, interval: defaultReseedInterval, forks: g.forks, number: g.number}
	c.accepted.Store(g.clones)
	return c
}

// check returns the config that cfg asks for, or says what cannot be had.
func (cfg *Config) check(h *host) (*config, error) {
	c := newConfig(h)
	c.perso, c.deterministic = slices.Clone(cfg.Personalization), cfg.Deterministic
	if cfg.ReseedInterval != 0 {
		c.interval = cfg.ReseedInterval
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
		if g, ok := cfg.Entropy.(*Generator); ok && g == nil {
			return nil, fmt.Errorf("%w: Entropy is a nil *Generator: make one with New", ErrEntropy)
		}
	}
	if c.deterministic && (c.system() || c.nv != nil || cfg.NVSeed != nil) {
		return nil, errors.New("clonerand: a Deterministic generator needs an Entropy of its own that is no NV seed, and no NVSeed")
	}
	if cfg.PredictionResistance && c.nv != nil {
		return nil, errNVResistance()
	}
	return c, nil
}

// isSystem reports whether a Config.Entropy names the system source: by being nil, or
// crypto/rand's Reader, or the default Reader of this package.
func isSystem(r io.Reader) bool {
	if r == nil || r == io.Reader(defaultReader) {
		return true
	}
	// To compare values of a type that is not comparable would panic.
	return reflect.TypeOf(r).Comparable() && r == cryptoReader
}

func (c *config) system() bool { return c.entropy == nil }

// draw fills b with the entropy of one seeding. extra is what goes into the state beside
// it. With strict, a failure of the operating system's generator is an error where
// systemStrict can tell.
func (c *config) draw(b, extra []byte, strict bool) error {
	switch {
	case c.nv != nil:
		// Each draw from a file gives other bytes. extra is for the case that the file was copied.
		return drawNVSeed(c.nv, b, extra)
	case c.entropy != nil:
		return readEntropy(c.entropy, b)
	case strict && c.host.strict != nil:
		return c.host.strict(b)
	default:
		return readEntropy(c.host.system, b)
	}
}

// drawNVSeed draws from a seed, and returns its failures as [ErrEntropy].
func drawNVSeed(s *NVSeed, b, perso []byte) error {
	if err := s.draw(b, perso); err != nil {
		return fmt.Errorf("%w: %w", ErrEntropy, err)
	}
	return nil
}

// admit refuses to seed from an NV seed that was cloned with the machine.
func (c *config) admit(g *generation) error {
	if c.nv != nil && g.clones != c.accepted.Load() {
		return ErrCloned
	}
	return nil
}

// accept says that this clone was told what makes it unique when so many clones were known.
func (c *config) accept(clones uint64) { c.accepted.Store(max(clones, c.accepted.Load())) }
