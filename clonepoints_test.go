package rand

import (
	"bytes"
	"fmt"
	"testing"
	"testing/synctest"
)

// A scene is a generator at some point of its life, and the length of the Read in
// which it is cloned.
type scene struct {
	name    string
	prelude func(t *testing.T, r *reader, w *world)
	ask     []int
}

const (
	us = 1_000 // ticks of a world's counter
	ms = 1_000 * us
)

var scenes = []scene{
	{"first use", func(*testing.T, *reader, *world) {}, []int{16, 1024, 1025, 68<<10 + 16}},
	{"kept output", func(t *testing.T, r *reader, w *world) { readN(t, r, 16) }, []int{16, 40, 1024, 1025, 5000, 64<<10 + 16}},
	{"folding", func(t *testing.T, r *reader, w *world) {
		readN(t, r, 16)
		w.counter += ms
		readN(t, r, 16)
	}, []int{16, 1024, 1025, 64<<10 + 16}},
	{"refill", func(t *testing.T, r *reader, w *world) {
		for range 3 { // the first block of all is folded, and so the first buffer
			exhaust(t, r)
		}
	}, []int{16, 1024, 5000}},
	{"refill while folding", func(t *testing.T, r *reader, w *world) {
		readN(t, r, 16)
		w.counter += ms
		exhaust(t, r)
	}, []int{16, 1024, 5000}},
	{"reseed due", func(t *testing.T, r *reader, w *world) {
		r.conf().interval = 1
		exhaust(t, r)
		exhaust(t, r)
	}, []int{16, 5000}},
	{"after Reseed", func(t *testing.T, r *reader, w *world) {
		readN(t, r, 16)
		if err := r.reseed([]byte("here")); err != nil {
			t.Fatal(err)
		}
	}, []int{16, 5000}},
	{"after Deplete", func(t *testing.T, r *reader, w *world) {
		readN(t, r, 16)
		r.deplete()
	}, []int{16, 5000}},
	{"prediction resistance", func(t *testing.T, r *reader, w *world) {
		readN(t, r, 16)
		setResist(&r.order, true)
	}, []int{16, 5000}},
}

// exhaust reads until no output is kept.
func exhaust(t *testing.T, r *reader) {
	t.Helper()
	readN(t, r, 16)
	s := r.shard(0)
	for reads := 0; s.pos < keptLen; reads++ {
		if reads > keptLen/maxSmall {
			t.Fatal("each Read starts anew")
		}
		readN(t, r, min(maxSmall, keptLen-s.pos))
	}
}

// A machine is what clones differ in.
type machine struct {
	name       string
	step       uint64
	noCPU      bool // no random instruction
	stuck      bool // it gives all ones after the clone
	sameSystem bool // the kernel's generator is a clone, too, and goes on as the other one
	pauses     [2]uint64
	forEver    bool // after the clone there is a pause before each reading
	still      bool // after the clone the counter stands still
}

// ago is a jump of the counter back by t.
func ago(t uint64) uint64 { return -t }

var machines = []machine{
	{name: "instruction", pauses: [2]uint64{5 * us, 7 * us}},
	{name: "instruction, pauses just over G", pauses: [2]uint64{2*us + 1, 2*us + 1}},
	{name: "instruction, kernel cloned", sameSystem: true, pauses: [2]uint64{ms, ms}},
	{name: "no instruction", noCPU: true, pauses: [2]uint64{ms, ms}},
	{name: "no instruction, kernel cloned", noCPU: true, sameSystem: true, pauses: [2]uint64{ms, ms + 1}},
	{name: "no instruction, kernel cloned, short pauses", noCPU: true, sameSystem: true, pauses: [2]uint64{3 * us, 3*us + 1}},
	{name: "instruction stuck, kernel cloned", stuck: true, sameSystem: true, pauses: [2]uint64{ms, ms + 1}},
	{name: "counter goes back", pauses: [2]uint64{ago(1000 * ms), ago(1000 * ms)}},
	{name: "counter goes back, no instruction, kernel cloned", noCPU: true, sameSystem: true, pauses: [2]uint64{ago(1000 * ms), ago(1001 * ms)}},
	{name: "counter starts at zero", noCPU: true, sameSystem: true, pauses: [2]uint64{ago(1<<40 - 3000), ago(1<<40 - 5000)}},
	{name: "counter jumps by an hour", noCPU: true, sameSystem: true, pauses: [2]uint64{3600 * 1000 * ms, 3601 * 1000 * ms}},
	{name: "counter stands still", still: true, pauses: [2]uint64{ms, 2 * ms}},
	{name: "counter stands still, no instruction", noCPU: true, still: true, pauses: [2]uint64{ms, 2 * ms}},
	{name: "pauses for ever", forEver: true, pauses: [2]uint64{ms, 2 * ms}},
	{name: "pauses for ever, no instruction", noCPU: true, forEver: true, pauses: [2]uint64{ms, 2 * ms}},
	{name: "emulator, 10 us a reading", step: 10 * us, pauses: [2]uint64{ms, 2 * ms}},
	{name: "emulator, 10 us a reading, no instruction, kernel cloned", step: 2 * us, noCPU: true, sameSystem: true, pauses: [2]uint64{ms, ms + 1}},
	{name: "emulator, 100 us a reading", step: 100 * us, pauses: [2]uint64{ms, 2 * ms}},
	{name: "emulator, 100 us a reading, no instruction, kernel cloned", step: 20 * us, noCPU: true, sameSystem: true, pauses: [2]uint64{ms, ms + 1}},
}

func (m *machine) world() *world {
	w := newWorld(0)
	if m.step != 0 {
		w.step = m.step
	}
	if m.noCPU {
		w.cpu = nil
		w.step *= 5 // a slower one: fewer turns in a burst
	}
	return w
}

// restore makes w the clone of this number.
func (m *machine) restore(w *world, i int) {
	w.counter += m.pauses[i]
	w.stuck = m.stuck
	if w.cpu != nil {
		w.cpu = streamOf("cpu", uint64(i)+1)
	}
	if !m.sameSystem {
		w.system = streamOf("system", uint64(i)+1)
	}
	if m.still {
		w.step = 0
	}
	if m.forEver {
		w.jitter = func() uint64 {
			// What a fold takes is measured without one, or every pause would be thought to
			// be the slowness of the machine.
			if calledBy("widen", 5) {
				return 0
			}
			return m.pauses[i]
		}
	}
}

// An outcome is what a clone has read.
type outcome struct {
	inFlight bool   // the clone fell into the first Read
	asked    []byte // what that Read returned
	finished int    // blocks of it that had been checked before the clone: those may be equal
	later    []byte // what the Reads after it returned
	looks    int    // of the first Read
}

// fresh is what must be this clone's alone.
func (o *outcome) fresh() []byte {
	if !o.inFlight {
		return o.later
	}
	return append(bytes.Clone(o.asked[o.finished*blockLen:]), o.later...)
}

// readAsClone lets clone i of r read n bytes; it is cloned before look number at.
func (m *machine) readAsClone(t *testing.T, r *reader, w *world, i, at, n int) *outcome {
	t.Helper()
	w = w.clone()
	r = cloneReader(r, w)
	o := &outcome{asked: make([]byte, n)}
	restored := false
	w.before = func(look int) {
		if look == at {
			m.restore(w, i)
			restored = true
		}
	}
	if n > maxSmall {
		w.reading = func() {
			if !restored {
				o.finished = filled(o.asked)
			}
		}
	}
	if _, err := r.Read(o.asked); err != nil {
		t.Fatal(err)
	}
	w.reading = nil
	o.inFlight, o.looks = restored, w.looks
	for _, n := range []int{16, 16, 48, 16, 1024, 16, 1500, 16, 16} {
		o.later = append(o.later, readN(t, r, n)...)
	}
	if !restored {
		t.Fatalf("the Reads looked %d times at their machine and not %d times", w.looks, at)
	}
	return o
}

// clonePoints calls check with the outcomes of two clones for the points of the
// Read, the one after its end included.
func (m *machine) clonePoints(t *testing.T, sc *scene, n int, off bool, check func(at int, a, b *outcome)) {
	t.Helper()
	w := m.world()
	r := newShardedReader(w.host(), 1)
	if off {
		r.conf().host.pause.switchOff()
	}
	sc.prelude(t, r, w)
	for _, at := range pointsOf(r, w, n) {
		check(at, m.readAsClone(t, r, w, 0, at, n), m.readAsClone(t, r, w, 1, at, n))
	}
}

// pointsOf returns the looks before which a Read is to be cloned, and the first
// after it: all of them, but of a long row of turns in a burst its ends
// and its middle, and of an emulator's hundreds a few dozen.
func pointsOf(r *reader, w *world, n int) (points []int) {
	w = w.clone()
	r = cloneReader(r, w)
	var row []int
	endRow := func() {
		if len(row) > 7 {
			row = append(append(append([]int{}, row[:3]...), row[len(row)/2]), row[len(row)-3:]...)
		}
		points, row = append(points, row...), nil
	}
	w.before = func(look int) {
		if calledBy("absorbCounter", 8) || calledBy("widen", 8) {
			row = append(row, look)
			return
		}
		endRow()
		points = append(points, look)
	}
	r.Read(make([]byte, n))
	endRow()
	if most := 24; len(points) > most {
		for i := range most / 2 {
			points[most/2+i] = points[most/2+i*(len(points)-most/2)/(most/2)]
		}
		points = points[:most]
	}
	return append(points, w.looks)
}

// switchOff makes no time long enough for a pause.
func (p *pauseDetector) switchOff() {
	l := p.limits.Load()
	l.g, l.zero = ^uint64(0), 0
	l.allowance.Store(l.g)
}

func TestNoBlockIsEqualWhereverAReadIsCloned(t *testing.T) {
	for _, m := range machines {
		inBubble(t, m.name, func(t *testing.T) {
			points := 0
			for _, sc := range scenes {
				for _, n := range sc.ask {
					if m.forEver && n > 5000 {
						continue // each KiB of it is one more of the same
					}
					m.clonePoints(t, &sc, n, false, func(at int, a, b *outcome) {
						points++
						if equal := equalBlocks(a.fresh(), b.fresh()); equal != 0 {
							t.Errorf("%s, Read of %d: cloned before look %d of %d: %d blocks are equal (in flight: %v)",
								sc.name, n, at, a.looks, equal, a.inFlight)
						}
					})
				}
			}
			t.Logf("%d points", points)
		})
	}
}

func TestWithoutTheDetectorBlocksAreEqual(t *testing.T) {
	m := machines[0] // whose clones differ in instruction and kernel
	for _, sc := range scenes {
		if sc.name == "prediction resistance" {
			continue // nothing is kept
		}
		for _, n := range sc.ask {
			inBubble(t, fmt.Sprint(sc.name, " ", n), func(t *testing.T) {
				equal := 0
				m.clonePoints(t, &sc, n, true, func(at int, a, b *outcome) {
					equal += equalBlocks(a.fresh(), b.fresh())
				})
				if equal == 0 {
					t.Error("no block is equal: the test above could not fail")
				}
			})
		}
	}
}

// inBubble runs a test whose clock stands still, since what an unseeded state does
// with the time of day would tell two copies apart before they are clones.
func inBubble(t *testing.T, name string, test func(t *testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
}
