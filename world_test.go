package rand

import (
	"encoding/binary"
	"math/rand/v2"
	"runtime"
	"sort"
	"strings"
	"testing"
)

// A world is a machine that a test drives: a counter of 1 GHz, a random instruction
// and a system generator. What a generator does between two looks at its machine
// is computing from its own state alone, so the looks are all the points at
// which it matters that it is cloned: two worlds that agree up to a look
// and differ from it on are two clones of one machine, stopped between
// that look and the one before.
type world struct {
	counter uint64
	step    uint64        // each reading takes so many ticks
	jitter  func() uint64 // and so many more, where it is not nil
	cpu     *rand.ChaCha8 // the random instruction; nil where there is none
	system  *rand.ChaCha8

	looks    int            // readings, draws and system reads so far
	readings int            // of these, of the counter
	stuck    bool           // the instruction says yes and gives all ones, as some CPUs after a resume
	drawn    map[string]int // how often what was drawn: "cpu", and "system" by length
	seeded   int            // system reads of one seeding's length
	before   func(look int) // called before each look, to change the world
	reading  func()         // called after each reading
	last     int            // the look that was the last reading
}

// newWorld is a machine with an instruction; seed names its streams.
func newWorld(seed uint64) *world {
	return &world{
		counter: 1 << 40, // it has run for some twenty minutes
		step:    20,
		cpu:     streamOf("cpu", seed),
		system:  streamOf("system", seed),
		drawn:   make(map[string]int),
	}
}

func streamOf(name string, seed uint64) *rand.ChaCha8 {
	var key [32]byte
	copy(key[:], name)
	binary.LittleEndian.PutUint64(key[24:], seed)
	return rand.NewChaCha8(key)
}

func (w *world) look() {
	if w.before != nil {
		w.before(w.looks)
	}
	w.looks++
}

func (w *world) read() uint64 {
	w.look()
	w.readings++
	w.last = w.looks - 1
	w.counter += w.step
	if w.jitter != nil {
		w.counter += w.jitter()
	}
	if w.reading != nil {
		w.reading()
	}
	return w.counter
}

func (w *world) random() (uint64, bool) {
	w.look()
	w.drawn["cpu"]++
	if w.stuck {
		return ^uint64(0), true
	}
	return w.cpu.Uint64(), true
}

func (w *world) Read(b []byte) (int, error) {
	w.look()
	w.drawn["system"]++
	if len(b) == entropyLen {
		w.seeded++
	}
	return w.system.Read(b)
}

// host is this world as a generator sees it, with a detector of pauses.
func (w *world) host() *host {
	h := &host{clones: noDetectors(), system: w, pause: &pauseDetector{read: w.read, readFenced: w.read}}
	l := new(pauseLimits)
	l.setRate(1e9)
	h.pause.limits.Store(l)
	if w.cpu != nil {
		h.random = inPairs(w.random)
	}
	return h
}

// unwatched is the same with a counter that may not be used.
func (w *world) unwatched() *host {
	h := w.host()
	h.pause.limits.Store(&pauseLimits{why: "switched off for a test"})
	return h
}

// clone is the world as it would go on: the same counter, and the same streams from
// where they are.
func (w *world) clone() *world {
	c := *w
	c.drawn = make(map[string]int)
	c.system = copyStream(w.system)
	if w.cpu != nil {
		c.cpu = copyStream(w.cpu)
	}
	c.before, c.reading = nil, nil
	c.looks, c.readings, c.seeded, c.last = 0, 0, 0, -1
	return &c
}

func copyStream(s *rand.ChaCha8) *rand.ChaCha8 {
	state, err := s.MarshalBinary()
	if err != nil {
		panic(err)
	}
	c := new(rand.ChaCha8)
	if err := c.UnmarshalBinary(state); err != nil {
		panic(err)
	}
	return c
}

// A block is what clones are compared by.
type block = [blockLen]byte

func blocksOf(b []byte) []block {
	var blocks []block
	for ; len(b) >= blockLen; b = b[blockLen:] {
		blocks = append(blocks, block(b))
	}
	return blocks
}

// equalBlocks counts the blocks of b that are in a, wherever.
func equalBlocks(a, b []byte) (n int) {
	in := make(map[block]bool)
	for _, x := range blocksOf(a) {
		in[x] = true
	}
	for _, x := range blocksOf(b) {
		if in[x] {
			n++
		}
	}
	return n
}

// filled is how many blocks of b hold something, b being filled from its start.
func filled(b []byte) int {
	return sort.Search(len(b)/blockLen, func(i int) bool { return block(b[i*blockLen:]) == block{} })
}

// calledBy says whether one of the functions that call is of this name: the caller
// of the caller, and so on, as far as depth.
func calledBy(name string, depth int) bool {
	pcs := make([]uintptr, depth)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs)])
	for {
		f, more := frames.Next()
		if strings.HasSuffix(f.Function, "."+name) {
			return true
		}
		if !more {
			return false
		}
	}
}

// readN reads n bytes.
func readN(t testing.TB, r interface{ Read([]byte) (int, error) }, n int) []byte {
	t.Helper()
	b := make([]byte, n)
	if got, err := r.Read(b); got != n || err != nil {
		t.Fatalf("a Read of %d bytes returned %d, %v", n, got, err)
	}
	return b
}
