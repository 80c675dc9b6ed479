package rand

import (
	"bytes"
	"fmt"
	"testing"
	"testing/synctest"
)

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
