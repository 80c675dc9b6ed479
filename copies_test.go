package rand

import (
	"bytes"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// A scene is a generator at some point of its life, and the length of the Read in
// which it is cloned.
type scene struct {
	name    string
	prelude func(t *testing.T, r *pool, w *world)
	ask     []int
}

var scenes = []scene{
	{"first use", func(*testing.T, *pool, *world) {}, []int{16, 1024, 1025, 68<<10 + 16}},
	{"kept output", func(t *testing.T, r *pool, w *world) { readN(t, r, 16) }, []int{16, 40, 1024, 1025, 5000, 64<<10 + 16}},
	{"mixing", func(t *testing.T, r *pool, w *world) {
		readN(t, r, 16)
		w.counter += ms
		readN(t, r, 16)
	}, []int{16, 1024, 1025, 64<<10 + 16}},
	{"refill", func(t *testing.T, r *pool, w *world) {
		for range 3 { // the first block of all is mixed, and so the first buffer
			exhaust(t, r)
		}
	}, []int{16, 1024, 5000}},
	{"refill while mixing", func(t *testing.T, r *pool, w *world) {
		exhaust(t, r)
		readN(t, r, 16)
		for r.shard(0).buffer.has(mixLen) {
			readN(t, r, 64)
		}
		w.counter += ms
		exhaust(t, r) // before it is worn
		wantMixing(t, r, w, false)
	}, []int{16, 1024, 5000}},
	{"worn", func(t *testing.T, r *pool, w *world) {
		readN(t, r, 16)
		w.counter += ms
		readN(t, r, 16)
		readN(t, r, mixLen)
		wantMixing(t, r, w, true)
	}, []int{16, 1024, 5000}},
	{"reseed due", func(t *testing.T, r *pool, w *world) {
		r.conf().interval = 1
		exhaust(t, r)
		exhaust(t, r)
	}, []int{16, 5000}},
	{"after Reseed", func(t *testing.T, r *pool, w *world) {
		readN(t, r, 16)
		if err := r.reseed([]byte("here")); err != nil {
			t.Fatal(err)
		}
	}, []int{16, 5000}},
	{"after Deplete", func(t *testing.T, r *pool, w *world) {
		readN(t, r, 16)
		r.deplete()
	}, []int{16, 5000}},
	{"prediction resistance", func(t *testing.T, r *pool, w *world) {
		readN(t, r, 16)
		r.resist(true)
	}, []int{16, 5000}},
}

// wantMixing checks that a scene is what it is called, but where each reading, or no reading, is a pause.
func wantMixing(t *testing.T, r *pool, w *world, worn bool) {
	t.Helper()
	if r.conf().host.pause.limits.Load().g > gTicks || w.step >= gTicks {
		return
	}
	if b := &r.shard(0).buffer; !b.mixing || b.worn() != worn {
		t.Errorf("mixing %v, worn %v, not %v", b.mixing, b.worn(), worn)
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
func (m *machine) readAsClone(t *testing.T, r *pool, w *world, i, at, n int) *outcome {
	t.Helper()
	w = w.clone()
	r = cloneReader(r, w)
	o := &outcome{asked: make([]byte, n)}
	restored := false
	w.before = func(look int) {
		if look == at {
			m.restore(r, w, i)
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
	r := newPool(w.host(), 1)
	if m.own {
		r.conf().entropy = streamOf("own", 0)
	}
	if off {
		r.conf().host.pause.switchOff()
	}
	sc.prelude(t, r, w)
	for _, at := range pointsOf(r, w, n) {
		check(at, m.readAsClone(t, r, w, 0, at, n), m.readAsClone(t, r, w, 1, at, n))
	}
}

// pointsOf returns the looks before which a Read is to be cloned, and the first after
// it: all of them, but of a long row of readings its ends and its middle, and of an
// emulator's hundreds a few dozen.
func pointsOf(r *pool, w *world, n int) (points []int) {
	w = w.clone()
	r = cloneReader(r, w)
	var row []int
	endRow := func() {
		if len(row) > 7 {
			row = append(append(append([]int{}, row[:3]...), row[len(row)/2]), row[len(row)-3:]...)
		}
		points, row = append(points, row...), nil
	}
	w.reading = func() { row = append(row, w.last) }
	w.before = func(look int) {
		if len(row) > 0 && row[len(row)-1] < look-1 {
			endRow() // what lies in between is no reading
			points = append(points, look-1)
		}
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
	all := slices.Clone(machines)
	for _, m := range machines {
		m.name, m.own = m.name+", Entropy cloned", true
		all = append(all, m)
	}
	for _, m := range all {
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

// A fleet whose counters and kernels are equal after the restore, without an instruction.
// What tells the clones apart is the jitter of a long burst. What it has made must stay in
// the state: readings alone are soon equal again.
func TestFleetsWithOneEqualReading(t *testing.T) {
	for _, own := range []bool{false, true} {
		for _, sc := range scenes {
			for _, n := range sc.ask {
				inBubble(t, fmt.Sprint(sc.name, " ", n, " ", own), func(t *testing.T) {
					w := newWorld(0)
					w.cpu, w.step = nil, 100
					r := newPool(w.host(), 1)
					if own {
						r.conf().entropy = streamOf("own", 0)
					}
					sc.prelude(t, r, w)
					for _, at := range pointsOf(r, w, n) {
						var later [40][]byte
						for i := range later {
							w := w.clone()
							r := cloneReader(r, w)
							jitter := jitterOf(i)
							w.before = func(look int) {
								if look == at {
									w.counter += 20 * ms
								} else if look > at {
									w.jitter = jitter
								}
							}
							readN(t, r, n) // of which steps may have been finished before
							for _, n := range []int{16, 16, 1024, 2000, 16} {
								later[i] = append(later[i], readN(t, r, n)...)
							}
						}
						if anyTwice(later[:]...) {
							t.Errorf("cloned before look %d: two of %d clones have a block in common", at, len(later))
						}
					}
				})
			}
		}
	}
}

// inBubble runs a test whose clock stands still, since what an unseeded state does
// with the time of day would tell two copies apart before they are clones.
func inBubble(t *testing.T, name string, test func(t *testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
}

// A fleet of clones of one generator, each with a pause of its own. The first 16
// bytes of all must differ. That of n values of 128 random bits two are equal has
// the probability n^2 / 2^129: 1.5e-27 for a million.
func TestFleetOfClones(t *testing.T) {
	clones := 1_000_000
	if testing.Short() || raceEnabled {
		clones = 20_000
	}
	tests := []struct {
		name    string
		cpu     bool // the random instruction gives each its own
		pause   bool
		collide bool
	}{
		{"with an instruction, kernel cloned", true, true, false},
		{"with the counter alone, kernel cloned", false, true, false},
		{"without a pause and entropy", false, false, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(0)
				if !tt.cpu {
					// A turn of the burst takes long here, so that there are few: the million would
					// spend 16 s in it.
					w.cpu, w.step = nil, 500
				}
				r := rested(t, w, 0)
				if !tt.pause {
					w.step = 1
				}
				s := r.shard(0)
				kernel, err := w.system.MarshalBinary()
				if err != nil {
					t.Fatal(err)
				}
				// One clone after the other, in the same memory.
				clone := *w
				h := &host{clones: r.conf().host.clones, system: &clone, pause: &pauseDetector{read: clone.read, readFenced: clone.read, clock: clone.clock}}
				h.pause.since.store(r.conf().host.pause.since.load())
				h.pause.limits.Store(r.conf().host.pause.limits.Load())
				if tt.cpu {
					h.random = inPairs(clone.random) // one for all, as nobody clones a CPU
				}
				one := newPool(h, 1)
				readN(t, one, 0)
				c := one.shard(0)
				first := make([]block, clones)
				for i := range first {
					clone.counter = w.counter
					clone.system.UnmarshalBinary(kernel)
					if tt.pause {
						clone.counter += 20*ms + uint64(i)
					}
					s.cloneTo(c, c.conf)
					if _, err := one.Read(first[i][:]); err != nil {
						t.Fatal(err)
					}
				}
				if got := collisions(first); (got != 0) != tt.collide {
					t.Errorf("%d of %d clones have another one's first block", got, clones)
				} else {
					t.Logf("%d of %d clones have another one's first block", got, clones)
				}
			})
		})
	}
}

// collisions counts the blocks that are like another one.
func collisions(b []block) (n int) {
	slices.SortFunc(b, func(x, y block) int { return bytes.Compare(x[:], y[:]) })
	for i := 1; i < len(b); i++ {
		if b[i] == b[i-1] {
			n++
		}
	}
	return n
}

// TestTwoCopies restores one state twice, at random, in all the ways that there are:
// between Reads, between the reading of the counter and the lock, at any look of a Read,
// at another look in each copy; on machines with and without a random instruction, with
// a kernel that is a clone or not, with an Entropy of its own or not, at 1 GHz and at 25 MHz, with a counter that goes on or
// is set back; with Reseed, Deplete and prediction resistance in between. No block is in
// both copies, and none comes twice in one.
func TestTwoCopies(t *testing.T) {
	rounds := uint64(3000)
	if testing.Short() || raceEnabled {
		rounds = 400
	}
	for seed := range rounds {
		if equal, what := newTwoCopies(t, seed, false).run(); equal != 0 {
			t.Errorf("seed %d, %s: %d blocks are equal", seed, what, equal)
		}
	}
}

func TestTwoCopiesAreEqualWithoutTheDetector(t *testing.T) {
	for seed := range uint64(400) {
		if equal, _ := newTwoCopies(t, seed, true).run(); equal != 0 {
			return
		}
	}
	t.Error("no block was equal: the test above could not fail")
}

// twoCopies is one round of TestTwoCopies.
type twoCopies struct {
	t          *testing.T
	rng        *mathrand.Rand
	seed       uint64
	w          *world
	p          *pool
	unit       uint64 // ticks of a microsecond
	sameKernel bool
	jumps      [2]uint64 // of the counter, in each copy
}

func newTwoCopies(t *testing.T, seed uint64, off bool) *twoCopies {
	c := &twoCopies{t: t, seed: seed, rng: mathrand.New(mathrand.NewPCG(seed, 7)), w: newWorld(seed), unit: us}
	c.w.step = []uint64{5, 20, 100, 700}[c.rng.IntN(4)]
	fine := uint64(1)
	if c.rng.IntN(3) == 0 {
		c.unit, c.w.rate, c.w.step = 25, 25e6, uint64(1+c.rng.IntN(2))
		fine = 0
		if c.rng.IntN(2) == 0 {
			c.w.jitter = func() uint64 { return 0 }
		}
	}
	if c.rng.IntN(3) == 0 {
		c.w.cpu = nil
	}
	c.sameKernel = c.rng.IntN(2) == 0
	h := c.w.host()
	h.pause.limits.Load().zero = fine
	if off {
		h.pause.switchOff()
	}
	c.p = newPool(h, 2)
	if c.rng.IntN(3) == 0 { // as a Generator with an Entropy that is cloned, too
		c.p.conf().entropy = streamOf("own", seed)
	}
	if c.rng.IntN(3) == 0 {
		c.p.conf().interval = uint64(1 + c.rng.IntN(4))
	}
	c.jumps[0] = uint64(int(pauseTime/time.Microsecond)+c.rng.IntN(5))*c.unit + 1 + uint64(c.rng.IntN(int(c.unit)))
	c.jumps[1] = c.jumps[0]
	// Where the counter alone tells the copies apart, it has to differ.
	if c.rng.IntN(2) == 0 || c.w.cpu == nil && c.sameKernel {
		c.jumps[1] += 1 + uint64(c.rng.IntN(3000))*c.unit
	}
	if c.rng.IntN(4) == 0 {
		for i := range c.jumps {
			c.jumps[i] -= 1_000_000 * c.unit
		}
	}
	return c
}

var twoCopiesSizes = []int{16, 16, 16, 48, 160, 1024, 1024, 1040, 4096, 5008, 66560}

// step is a Read from one of the shards, and what else happens now and then.
func (c *twoCopies) step(rng *mathrand.Rand, p *pool, w *world) []byte {
	switch rng.IntN(40) {
	case 0:
		p.deplete()
	case 1:
		if err := p.reseed([]byte("x")); err != nil {
			c.t.Fatal(err)
		}
	case 2:
		p.resist(rng.IntN(2) == 0)
	}
	switch rng.IntN(6) {
	case 0:
		w.counter += uint64(rng.IntN(4)) * c.unit
	case 1:
		w.counter += uint64(rng.IntN(100)) * c.unit
	}
	return readN(c.t, p.only(rng.IntN(2)), twoCopiesSizes[rng.IntN(len(twoCopiesSizes))])
}

func (c *twoCopies) run() (equal int, what string) {
	for range c.rng.IntN(12) {
		c.step(c.rng, c.p, c.w)
	}
	shard, size := c.rng.IntN(2), twoCopiesSizes[c.rng.IntN(len(twoCopiesSizes))]
	kind := c.rng.IntN(4)
	at := [2]int{c.rng.IntN(12), 0}
	if at[1] = at[0]; kind == 3 {
		at[1] += 1 + c.rng.IntN(8)
	}
	what = fmt.Sprintf("kind %d, at %d, %d bytes, jumps %d, step %d, instruction %v, kernel cloned %v",
		kind, at, size, c.jumps, c.w.step, c.w.cpu != nil, c.sameKernel)
	var inFlight, later [2][]byte
	for i := range 2 {
		w := c.w.clone()
		p := cloneReader(c.p, w)
		rng := mathrand.New(mathrand.NewPCG(c.seed, uint64(100+i)))
		restore := func() {
			w.counter += c.jumps[i]
			if w.cpu != nil {
				w.cpu = streamOf("cpu", uint64(i)+1)
			}
			if !c.sameKernel {
				w.system = streamOf("system", uint64(i)+1)
			}
		}
		more := func(n int) {
			for range n {
				later[i] = append(later[i], c.step(rng, p, w)...)
			}
		}
		restored := kind == 0
		switch kind {
		case 0: // between Reads
			restore()
		case 1: // between the reading and the lock; others read before the lock is taken
			w.reading = func() {
				w.reading = nil
				restored = true
				restore()
				more(rng.IntN(5))
			}
		default: // at a look
			w.before = func(look int) {
				if look == at[i] {
					restored = true
					restore()
				}
			}
		}
		if kind != 0 {
			inFlight[i] = readN(c.t, p.only(shard), size)
			if w.before, w.reading = nil, nil; !restored {
				restore()
			}
		}
		more(10)
	}
	equal = equalBlocks(later[0], later[1]) + equalBlocks(inFlight[0], later[1]) + equalBlocks(inFlight[1], later[0])
	for i := range 2 {
		seen := make(map[block]bool)
		for _, x := range append(blocksOf(inFlight[i]), blocksOf(later[i])...) {
			if seen[x] {
				equal++
			}
			seen[x] = true
		}
	}
	return equal, what
}
