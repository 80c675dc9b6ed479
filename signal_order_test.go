package rand

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"testing"
	"time"
)

// A signalWorld is a machine with one clone signal, a source of known bytes, and a counter without pauses or else a
// random instruction with known results: with neither a generator takes the clock, and is never the same twice. Each
// time that a generator reads the counter, draws, or looks at the process ID is a point; the signal changes at one
// of them, or from there on at every one.
type signalWorld struct {
	page   [1]uint64
	now    uint64 // counter
	drawn  uint64 // calls of the source
	late   int    // of these, those that began after the change
	random uint64 // results of the random instruction
	points int
	at     int // the point of the change; -1 for none
	always bool
	jump   uint64 // of the counter, with each change
}

func (w *signalWorld) reach() {
	if w.at >= 0 && (w.points == w.at || w.always && w.points > w.at) {
		atomic.AddUint64(&w.page[0], 1)
		w.now += w.jump
	}
	w.points++
}

func (w *signalWorld) changed() bool { return w.page[0] != 0 }

func (w *signalWorld) Read(b []byte) (int, error) {
	w.reach()
	if w.changed() {
		w.late++
	}
	for i := 0; i < len(b); i += 32 {
		sum := sha256.Sum256(binary.LittleEndian.AppendUint64(nil, w.drawn<<16|uint64(i)))
		copy(b[i:], sum[:])
	}
	w.drawn++
	w.reach()
	return len(b), nil
}

func (w *signalWorld) host(counter bool) *host {
	h := &host{clones: noDetectors(), pause: new(pauseDetector), system: w}
	h.clones.identity = func() int { w.reach(); return 1 }
	h.clones.signals = []func() signal{func() signal {
		return signal{name: "test", memory: w.page[:], watch: []int{0}}
	}}
	h.pause.clock = func() time.Time { return packageInit.clock } // copies must be equal, and the clock tells them apart
	l := &pauseLimits{why: "switched off for a test"}
	if counter {
		read := func() uint64 { w.reach(); w.now++; return w.now }
		h.pause.read, h.pause.readFenced = read, read
		l = limitsAt(1e9)
		l.rate = 0 // a burst has one turn
	} else {
		h.random = inPairs(func() (uint64, bool) { w.reach(); w.random++; return w.random * 0x9E3779B97F4A7C15, true })
	}
	h.pause.limits.Store(l)
	return h
}

// readCopy reads n bytes with a copy of the state of p, in the world w and in epoch e.
func readCopy(t *testing.T, p *pool, w *signalWorld, counter bool, e *epoch, n int) []byte {
	t.Helper()
	h := w.host(counter)
	h.clones.look() // finds the signal
	c := clonePool(p, h)
	c.epoch.Store(e)
	if c.conf().entropy != nil {
		c.conf().entropy = w
	}
	w.points, w.now, w.drawn, w.random = 0, p.shard(0).window.last, 1000, 1000
	return readN(t, c, n)
}

// Invariant 1 and the order of a seeding: wherever in a Read the signal changes, nothing is returned that the old state
// made, and what is returned comes from a draw that began after the change.
func TestNothingOfTheOldStateIsReturnedWhereverASignalChanges(t *testing.T) {
	for _, kind := range []struct {
		name             string
		counter, own     bool
		refill, newEpoch bool
		pause            uint64
	}{
		{name: "kept output", counter: true},
		{name: "kept output, and the counter shows the pause", counter: true, pause: 10_000},
		{name: "a refill is due", counter: true, refill: true},
		{name: "a reseed is due", counter: true, newEpoch: true},
		{name: "no counter"},
		{name: "no counter, a reseed is due", newEpoch: true},
		{name: "a source of its own", own: true},
		{name: "a source of its own, a reseed is due", own: true, newEpoch: true},
	} {
		for _, n := range []int{1, 16, 1024, 1025, 20_000, 140_000} {
			t.Run(fmt.Sprintf("%s/%d", kind.name, n), func(t *testing.T) {
				// A state that has read before.
				w := &signalWorld{at: -1}
				p := newPool(w.host(kind.counter), 1)
				if kind.own {
					p.conf().entropy = w
				}
				for range 10 { // past the first buffer, which is mixed since nobody knows where it comes from
					readN(t, p, maxSmall)
				}
				readN(t, p, 16)
				s, e := p.shard(0), p.epoch.Load()
				if kind.counter && s.buffer.mixing {
					t.Fatal("the buffer is mixed, which is not the case to be tested")
				}
				if kind.refill {
					s.buffer.erase()
				}
				if kind.newEpoch {
					e = &epoch{id: 2}
				}

				calm := &signalWorld{at: -1}
				old := readCopy(t, p, calm, kind.counter, e, n)
				again := &signalWorld{at: -1}
				if string(readCopy(t, p, again, kind.counter, e, n)) != string(old) {
					t.Fatal("two copies of the state without a change differ, so this test shows nothing")
				}
				for at := range calm.points {
					for _, always := range []bool{false, true} {
						if always && kind.pause > 0 {
							continue // pauses without end are a matter of the pause detector's tests
						}
						w := &signalWorld{at: at, always: always, jump: kind.pause}
						got := readCopy(t, p, w, kind.counter, e, n)
						if !w.changed() {
							t.Fatalf("point %d of %d was not reached", at, calm.points)
						}
						if w.late == 0 {
							t.Errorf("changed at point %d of %d: no draw after it", at, calm.points)
						}
						if n >= 16 && equalBlocks(old, got) != 0 {
							t.Errorf("changed at point %d of %d (and at every later one: %v): a block of the old state was returned", at, calm.points, always)
						}
						if always && w.points > 10*calm.points+n/4+200 { // the last resort takes a draw for each 16 bytes
							t.Errorf("changed at every point from %d on: %d points until the end", at, w.points)
						}
					}
				}
			})
		}
	}
}
