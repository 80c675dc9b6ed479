package rand

import (
	"encoding/binary"
	"io"
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
// burstTimes times its limit is 0 in 64 bits: without a random instruction a salt
// absorbs the counter for that long.
func neverPaused() *pauseDetector {
	p := new(pauseDetector)
	l := &pauseLimits{rate: 1e9, g: 1 << 61}
	l.allowance.Store(l.g)
	p.limits.Store(l)
	return p
}

// newReaderOn is a default Reader on the given machine.
func newReaderOn(h *host) *reader {
	r := new(reader)
	r.fleet.Store(newFleet(&config{host: h, interval: defaultReseedInterval}))
	return r
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
	l := new(pauseLimits)
	l.setRate(1e9)
	p.limits.Store(l)
	return p
}
