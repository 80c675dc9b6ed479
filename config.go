package rand

import (
	"fmt"
	"io"
	"sync/atomic"
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
		return drawNVSeed(c.nv, b, extra)
	case c.entropy != nil:
		return readEntropy(c.entropy, b)
	default:
		return readEntropy(c.host.system, b)
	}
}

// drawNVSeed draws from a seed as a generator reports its failures.
func drawNVSeed(s *NVSeed, b, perso []byte) error {
	if err := s.draw(b, perso); err != nil {
		return fmt.Errorf("%w: %w", ErrEntropy, err)
	}
	return nil
}

// admit refuses to seed from an NV seed that was cloned with the machine.
func (c *config) admit(s *sighting) error {
	if c.nv != nil && s.events() != c.accepted.Load() {
		return ErrCloned
	}
	return nil
}

// accept is the word of the caller that this clone was told what makes it unique.
func (c *config) accept() {
	c.accepted.Store(c.host.clones.current().events())
}
