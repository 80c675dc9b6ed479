package rand

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
)

// A look at the detectors faults where somebody truncates the file of a signal. Whichever look of a Read that
// is: a program that recovers from it reads no zeros later, no block twice, and none that a clone reads. The clones
// are restored after the fault. Or they are restored before it, with a counter that was set back, at any reading.
// By the Read after the fault such a counter is where it was, and nobody has told of an event.
func TestAFaultAtEachLookAtTheDetectors(t *testing.T) {
	faults := 0
	for _, own := range []bool{false, true} {
		for _, sc := range scenes {
			for _, size := range sc.ask {
				if size != 16 && size != 5000 {
					continue
				}
				inBubble(t, fmt.Sprint(sc.name, " ", size, " ", own), func(t *testing.T) {
					w := newWorld(0)
					r := newPool(w.host(), 1)
					if own {
						r.conf().entropy = streamOf("own", 0)
					}
					sc.prelude(t, r, w)
					calm := w.clone()
					readN(t, cloneReader(r, calm), size)
					for setBack := range calm.readings + 1 {
						for look := 0; ; look++ {
							a, faulted := readWithFault(t, r, w, 1, size, setBack, look)
							if !faulted {
								break
							}
							faults++
							b, _ := readWithFault(t, r, w, 2, size, setBack, look)
							if equal := equalBlocks(a, b); equal != 0 || anyTwice(a) || slices.Contains(blocksOf(a), block{}) {
								t.Errorf("set back at reading %d, fault at look %d: %d blocks are equal, or one is zero or came twice", setBack, look, equal)
							}
						}
					}
				})
			}
		}
	}
	t.Logf("%d faults", faults)
	if faults < 100 {
		t.Error("too few Reads have faulted")
	}
}

// readWithFault lets a clone of r read n bytes. At a reading, counted from 1, the counter is set back. After that
// a look at the detectors faults, if there are so many. later is what the clone reads then.
func readWithFault(t *testing.T, r *pool, w *world, clone uint64, n, setBack, look int) (later []byte, faulted bool) {
	t.Helper()
	w = w.clone()
	r = cloneReader(r, w)
	restore := func(ticks uint64) {
		w.counter += ticks
		w.cpu, w.system = streamOf("cpu", clone), streamOf("system", clone)
	}
	w.before = func(int) {
		if w.readings == setBack-1 {
			restore(ago(3 * us))
			w.before = nil
		}
	}
	looks := 0
	if setBack == 1 {
		looks-- // the first look of a Read is before its first reading is compared with the last
	}
	clones := r.conf().host.clones
	identity := clones.identity
	clones.identity = func() int {
		if setBack == 0 || w.before == nil {
			if looks++; looks == look+1 {
				panic(w)
			}
		}
		return identity()
	}
	b := make([]byte, n)
	func() {
		defer func() { faulted = recover() == any(w) }()
		r.Read(b)
	}()
	if !faulted {
		return nil, false
	}
	w.before, clones.identity = nil, identity
	notLocked(t, r)
	if !bytes.Equal(b, make([]byte, n)) {
		t.Error("output that was not checked is left")
	}
	if setBack == 0 {
		restore(gTicks + 1)
	} else if s := r.shard(0); s != nil {
		w.counter = s.window.last
	}
	for _, n := range []int{16, 48, 1024, 1024, 1024, 1024, 1024, 1024, 1024, 1504, 16} {
		later = append(later, readN(t, r, n)...)
	}
	return later, true
}
