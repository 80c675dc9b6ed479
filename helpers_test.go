package rand

import (
	"encoding/binary"
	"io"
	"sync/atomic"
)

// readerFunc is an io.Reader that is a function.
type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// noDetectors is a clone watch that never sees anything.
func noDetectors() *cloneWatch {
	return &cloneWatch{
		forkPage: func() (*uint64, string) { return nil, "switched off for a test" },
		identity: func() int { return 1 },
	}
}

// pidOnly is a clone watch that looks at the process ID and at nothing else.
func pidOnly() *cloneWatch {
	w := noDetectors()
	w.identity = processID
	return w
}

// neverPaused is a detector on the real counter to which no time is long enough.
// Its rate is 0, so that a burst has one turn.
func neverPaused() *pauseDetector {
	p := newPauseDetector()
	if ok, _ := hasCounter(); !ok {
		var ticks atomic.Uint64
		p.read = func() uint64 { return ticks.Add(1) }
		p.readFenced = p.read
	}
	l := &pauseLimits{g: 1 << 61}
	l.allowance.Store(l.g)
	p.limits.Store(l)
	return p
}

// newReaderOn is a default Reader on the given machine.
func newReaderOn(h *host) *pool { return newPool(h, 16) }

// newPool is one with n shards, a power of two.
func newPool(h *host, n int) *pool {
	p := new(pool)
	p.set(newConfig(h), &epoch{id: 1}, n)
	return p
}

// only is p with shard i alone.
func (p *pool) only(i int) *pool {
	sh := p.shards.Load()
	if sh.states[i].Load() == nil {
		sh.states[i].Store(newState(sh.conf, sh.forks))
	}
	one := new(pool)
	one.set(sh.conf, p.epoch.Load(), 1)
	one.shards.Load().forks = sh.forks
	one.shards.Load().states[0].Store(sh.states[i].Load())
	return one
}

// parts are what a Read begins with.
func (p *pool) parts() (*epoch, *shards) { return p.epoch.Load(), p.shards.Load() }

func (g *Generator) conf() *config { return g.pool.shards.Load().conf }

func (g *Generator) state() *state { return g.pool.shards.Load().states[0].Load() }

// limitsAt is a counter of that rate, so fine that two readings are never equal.
func limitsAt(rate float64) *pauseLimits {
	l := new(pauseLimits)
	l.setRate(rate)
	l.zero = 1
	return l
}

// newUnguardedReader is a default Reader with the pause detector, the fork detectors
// and the signals off: what every user-space generator is that nobody tells.
func newUnguardedReader() io.Reader {
	h := newHost()
	h.clones, h.pause = noDetectors(), neverPaused()
	if h.random == nil {
		// Without the instruction a salt takes a share of the longest time that is no pause.
		h.random = inPairs(func() (x uint64, ok bool) {
			var b [8]byte
			err := readEntropy(h.system, b[:])
			return binary.LittleEndian.Uint64(b[:]), err == nil
		})
	}
	return newReaderOn(h)
}

// inPairs is a random instruction of a host from one that gives a word at a time.
func inPairs(word func() (x uint64, ok bool)) func() (x, y uint64, ok bool) {
	return func() (x, y uint64, ok bool) {
		x, okX := word()
		y, okY := word()
		return x, y, okX && okY
	}
}

// A fakeCounter is a cycle counter that a test drives: each reading advances it by
// step, and then by what jump says for the reading of that number.
type fakeCounter struct {
	now      uint64
	step     uint64
	readings int
	jump     func(reading int) uint64
}

func (c *fakeCounter) read() uint64 {
	c.now += c.step
	if c.jump != nil {
		c.now += c.jump(c.readings)
	}
	c.readings++
	return c.now
}

// detector is a pause detector on c, a counter of 1 GHz.
func (c *fakeCounter) detector() *pauseDetector {
	p := &pauseDetector{read: c.read, readFenced: c.read}
	p.since = p.readMoment()
	p.limits.Store(limitsAt(1e9))
	return p
}
