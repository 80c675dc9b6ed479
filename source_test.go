package rand

import (
	"encoding/binary"
	mathrand "math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
)

// A countingSource is an entropy source that counts and can fail. Its stream is
// the same for the same name.
type countingSource struct {
	mu       sync.Mutex
	stream   *mathrand.ChaCha8
	seedings int         // calls for the bytes of a seeding
	others   int         // calls for anything else, as the salts of folds are
	fail     error       // what to return instead of bytes
	onDraw   func(n int) // called at each seeding, with its number
}

func newSource(name string) *countingSource {
	var seed [32]byte
	copy(seed[:], name)
	return &countingSource{stream: mathrand.NewChaCha8(seed)}
}

func (s *countingSource) Read(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(b) != entropyLen {
		s.others++
	} else if s.seedings++; s.onDraw != nil {
		s.onDraw(s.seedings)
	}
	if s.fail != nil {
		return 0, s.fail
	}
	return s.stream.Read(b)
}

// E is how often a seeding was drawn since it was last asked.
func (s *countingSource) E() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.seedings
	s.seedings = 0
	return n
}

func (s *countingSource) setFail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = err
}

func (s *countingSource) setOnDraw(f func(int)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onDraw = f
}

// quietHost is a machine without detectors, pauses and random instruction, whose
// system source is s. Only
// the clocks in a first seeding from the system source are not deterministic.
func quietHost(s *countingSource) *host {
	p := neverPaused()
	var ticks atomic.Uint64
	p.read = func() uint64 { return ticks.Add(1) }
	p.readFenced = p.read
	return &host{clones: noDetectors(), pause: p, system: s}
}

// foldingHost is the same without a usable counter: every small Read folds.
func foldingHost(s *countingSource) *host {
	p := new(pauseDetector)
	p.limits.Store(&pauseLimits{why: "switched off for a test"})
	return &host{clones: noDetectors(), pause: p, system: s}
}

// A randomness is what Generator and the default reader have in common, so that
// the contracts of both can be tables.
type randomness struct {
	name    string
	Read    func([]byte) (int, error)
	Reseed  func(perso []byte) error
	Deplete func()
	Resist  func(bool) error
	source  *countingSource

	// reseedDraws is how often the Read after a Reseed seeds: a Generator is seeded by
	// Reseed itself, while the default reader's shards seed before their next use.
	reseedDraws int

	largeReseeds bool // every 64 KiB of a large Read starts with a seeding of its own
}

// bothKinds are a Generator with its own source, one on the system source, and
// default readers with and without a usable counter, all with one shard.
func bothKinds(t testing.TB) []randomness {
	t.Helper()
	own := newSource("own")
	kinds := []randomness{generatorKind(t, "Generator with its own source", &Config{Entropy: own, Deterministic: true}, quietHost(newSource("not to be used")), own)}
	system := newSource("system")
	kinds = append(kinds, generatorKind(t, "Generator on the system source", &Config{}, quietHost(system), system))
	for _, c := range []struct {
		name string
		host func(*countingSource) *host
	}{{"default reader", quietHost}, {"default reader without a counter", foldingHost}} {
		s := newSource(c.name)
		x := readerKind(c.name, newReaderOn(c.host(s)), s)
		x.largeReseeds = x.name == "default reader without a counter"
		kinds = append(kinds, x)
	}
	return kinds
}

func generatorKind(t testing.TB, name string, cfg *Config, h *host, s *countingSource) randomness {
	t.Helper()
	g, err := newGenerator(cfg, h)
	if err != nil {
		t.Fatal(err)
	}
	return randomness{name: name, Read: g.Read, Reseed: g.Reseed, Deplete: g.Deplete, Resist: g.SetPredictionResistance, source: s}
}

func readerKind(name string, r *pool, s *countingSource) randomness {
	r.start()
	r.shards.Load().states = r.shards.Load().states[:1]
	resist := func(on bool) error { r.resist(on); return nil }
	return randomness{name: name, Read: r.Read, Reseed: r.reseed, Deplete: r.deplete, Resist: resist, source: s, reseedDraws: 1}
}

type readFunc = func([]byte) (int, error)

// must reads n bytes.
func (x randomness) must(t testing.TB, n int) []byte {
	t.Helper()
	b := make([]byte, n)
	if got, err := x.Read(b); got != n || err != nil {
		t.Fatalf("Read of %d bytes = %d, %v", n, got, err)
	}
	return b
}

// blocks appends the 16-byte blocks of b, by the half of each that tells them apart.
func blocks(to []uint64, b []byte) []uint64 {
	for ; len(b) >= 16; b = b[16:] {
		to = append(to, binary.LittleEndian.Uint64(b))
	}
	return to
}
