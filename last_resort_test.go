package rand

import (
	"testing"
	"testing/synctest"
)

// pauseInEachTry makes a pause before each reading but those that measure what a
// fold takes.
func pauseInEachTry(w *world) {
	w.jitter = func() uint64 {
		if calledBy("widen", 5) {
			return 0
		}
		return 50 * us
	}
}

func TestAfterEightTriesTheSystemsBytesGoOver(t *testing.T) {
	for _, size := range []int{16, 1024, 1025, 5000} {
		w := newWorld(0)
		r := rested(t, w, 0)
		pauseInEachTry(w)
		over := 0
		w.before = func(int) {
			if calledBy("overlay", 8) {
				over++
			}
		}
		looks := w.looks
		readN(t, r, size)
		if over == 0 {
			t.Errorf("Read of %d: no bytes of the system went over it", size)
		}
		// Each 1 KiB has eight tries: of a look for each 64 bytes, for the draws and
		// readings, and at every second of them 64 folds to see what they take.
		if most := (size/maxSmall + 2) * (maxTries*(maxSmall/foldStep+8) + maxTries/2*64*6 + 100); w.looks-looks > most {
			t.Errorf("Read of %d: %d looks, more than %d", size, w.looks-looks, most)
		}
		// The state is not trusted: the next Read starts anew. In a large one what lies
		// between its parts does.
		w.jitter, w.before = nil, nil
		seeded, draws := w.seeded, w.drawn["cpu"]
		readN(t, r, 16)
		if size <= maxSmall && w.seeded == seeded {
			t.Errorf("Read of %d: the next one did not seed the state", size)
		}
		if w.drawn["cpu"] == draws {
			t.Errorf("Read of %d: the next one had nothing fresh in it", size)
		}
	}
}

func TestACloneInTheEighthTry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, sameSystem := range []bool{false, true} {
			w := newWorld(0)
			r := rested(t, w, 0)
			looks := 0
			read := func(i, at uint64) []byte {
				w := w.clone()
				r := cloneReader(r, w)
				pauseInEachTry(w)
				w.before = func(look int) {
					if uint64(look) != at {
						return
					}
					w.counter += i * ms
					w.cpu = streamOf("cpu", i)
					if !sameSystem {
						w.system = streamOf("system", i)
					}
				}
				b := readN(t, r, 16)
				looks = w.looks
				w.jitter = nil
				for range 224 {
					b = append(b, readN(t, r, 16)...)
				}
				return b
			}
			read(1, 1<<40)
			for at := range uint64(looks) {
				a, b := read(1, at), read(2, at)
				if equal := equalBlocks(a, b); equal != 0 {
					t.Errorf("kernel cloned: %v; before look %d of %d: %d blocks are equal", sameSystem, at, looks, equal)
				}
			}
		}
	})
}

// A large Read that goes on as small ones has, as a whole, no more tries than another
// when this seems to be a new clone at every look.
func TestALargeReadInSmallPartsEndsInEventsWithoutEnd(t *testing.T) {
	w := newWorld(0)
	r := rested(t, w, 0)
	pauseInEachTry(w)
	pid := 0
	r.conf().host.clones.identity = func() int { pid++; return pid }
	const most = 40 * maxTries // a Read polls a few times in each try
	w.before = func(int) {
		if pid > 10*most {
			t.Fatalf("%d events, and the Read goes on", pid)
		}
	}
	readN(t, r, 5000)
	if pid > most {
		t.Errorf("%d looks at the PID for one Read, want no more than %d", pid, most)
	}
}
