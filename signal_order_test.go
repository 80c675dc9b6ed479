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
		l = new(pauseLimits)
		l.setRate(1e9)
	} else {
		h.random = inPairs(func() (uint64, bool) { w.reach(); w.random++; return w.random * 0x9E3779B97F4A7C15, true })
	}
	h.pause.limits.Store(l)
	return h
}

// readCopy reads n bytes with a copy of the state of s, in the world w.
func readCopy(t *testing.T, s *instance, w *signalWorld, c *config, counter bool, o *order, n int) []byte {
	t.Helper()
	conf := *newCopyOf(c)
	conf.host = w.host(counter)
	if conf.entropy != nil {
		conf.entropy = w
	}
	conf.host.clones.look() // finds the signal
	w.points = 0
	r := newInstance(&conf)
	r.seededAs(s)
	r.orderID, r.order = s.orderID, s.order
	r.alone, r.g, r.zero, r.lim, r.pos, r.end = s.alone, s.g, s.zero, s.lim, s.pos, s.end
	r.secrets, r.salted = s.secrets, s.salted
	w.now, w.drawn, w.random = s.alone, 1000, 1000
	b := make([]byte, n)
	var now uint64
	if r.lim != nil {
		if now = r.pause.now(); r.quick(b, o, now) {
			return b
		}
	}
	if err := r.read(b, o, now); err != nil {
		t.Fatal(err)
	}
	return b
}

func newCopyOf(c *config) *config {
	return &config{host: c.host, entropy: c.entropy, perso: c.perso, interval: c.interval}
}

// Invariant 1 and the order of a seeding: wherever in a Read the signal changes, nothing is returned that the old state
// made, and what is returned comes from a draw that began after the change.
func TestNothingOfTheOldStateIsReturnedWhereverASignalChanges(t *testing.T) {
	for _, kind := range []struct {
		name             string
		counter, own     bool
		refill, newOrder bool
		pause            uint64
	}{
		{name: "kept output", counter: true},
		{name: "kept output, and the counter shows the pause", counter: true, pause: 10_000},
		{name: "a refill is due", counter: true, refill: true},
		{name: "a reseed is due", counter: true, newOrder: true},
		{name: "no counter"},
		{name: "no counter, a reseed is due", newOrder: true},
		{name: "a source of its own", own: true},
		{name: "a source of its own, a reseed is due", own: true, newOrder: true},
	} {
		for _, n := range []int{1, 16, 1024, 1025, 20_000, 140_000} {
			t.Run(fmt.Sprintf("%s/%d", kind.name, n), func(t *testing.T) {
				// A state that has read before.
				w := &signalWorld{at: -1}
				c := &config{host: w.host(kind.counter), interval: defaultReseedInterval}
				if kind.own {
					c.entropy = w
				}
				s, o := newInstance(c), &order{id: 1}
				warm := make([]byte, maxSmall)
				for i := range 10 { // past the first buffer, which is folded since nobody knows where it comes from
					if i == 9 {
						warm = warm[:16]
					}
					if err := s.read(warm, o, 0); err != nil {
						t.Fatal(err)
					}
				}
				if kind.counter && s.salted {
					t.Fatal("the kept output is folded, which is not the case to be tested")
				}
				if kind.refill {
					s.eraseKept()
				}
				if kind.newOrder {
					o = &order{id: 2}
				}

				calm := &signalWorld{at: -1}
				old := readCopy(t, s, calm, c, kind.counter, o, n)
				again := &signalWorld{at: -1}
				if string(readCopy(t, s, again, c, kind.counter, o, n)) != string(old) {
					t.Fatal("two copies of the state without a change differ, so this test shows nothing")
				}
				for at := range calm.points {
					for _, always := range []bool{false, true} {
						if always && kind.pause > 0 {
							continue // pauses without end are a matter of the pause detector's tests
						}
						w := &signalWorld{at: at, always: always, jump: kind.pause}
						got := readCopy(t, s, w, c, kind.counter, o, n)
						if !w.changed() {
							t.Fatalf("point %d of %d was not reached", at, calm.points)
						}
						if w.late == 0 {
							t.Errorf("changed at point %d of %d: no draw after it", at, calm.points)
						}
						if n >= 16 && shareBlock(old, got) {
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

func shareBlock(a, b []byte) bool {
	seen := make(map[[16]byte]bool)
	for ; len(a) >= 16; a = a[16:] {
		seen[[16]byte(a)] = true
	}
	for ; len(b) >= 16; b = b[16:] {
		if seen[[16]byte(b)] {
			return true
		}
	}
	return false
}
