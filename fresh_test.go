package rand

import (
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

func TestBurstTakesNoMoreThanItsShareOfThePause(t *testing.T) {
	const turn = 25
	for _, size := range []int{16, 1024, 2000, 100_000} {
		for _, pause := range []uint64{gTicks + us, 64 * us, 300 * us, ms, 20 * ms, 3600 * 1000 * ms} {
			w := newWorld(0)
			w.step, w.cpu = turn, nil
			r := rested(t, w, pause)
			readings := w.readings
			readN(t, r, size)
			// A Read with a burst that takes no time looks once at its begin, once behind the
			// system's bytes, and once for each step of 64 bytes, or of 4 KiB with two for the
			// seeding. At least one turn is made, and it is found to be time in the one that is
			// too many.
			others := 2 + max(1, size/mixStep)
			if size > maxSmall {
				others = 4 + (size+streamStep-1)/streamStep
			}
			turns := uint64(w.readings - readings - others)
			if most := min(pause/burstShare, burstTimes*gTicks)/turn + 3; turns > most {
				t.Errorf("Read of %d after %d us: %d turns in the burst, more than %d", size, pause/us, turns, most)
			}
			if turns == 0 {
				t.Errorf("Read of %d after %d us: no burst", size, pause/us)
			}
		}
	}
}

// In this model both clones' kernels are clones, there is no instruction, and
// they read the same counter value first after the restore. What tells them apart is
// how long each turn of the burst takes. The model gives a turn 0 or 1 tick of jitter at
// random, less than a 25 MHz counter's rounding alone; the runs are drawn
// from fixed seeds, so that this test does not depend on luck.
func TestBurstSeparatesClonesWithOneEqualReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, size := range []int{16, 1024, 5000} {
			w := newWorld(0)
			w.cpu = nil
			r := rested(t, w, 0)
			seen := make(map[block]uint64)
			const clones = 300
			for i := range uint64(clones) {
				w := w.clone()
				r := cloneReader(r, w)
				first := true
				jitter := streamOf("jitter", i)
				w.before = func(int) {
					if first {
						w.counter += 20 * ms // the same in all
						first = false
						return
					}
					w.jitter = func() uint64 { return jitter.Uint64() & 1 }
				}
				b := append(readN(t, r, size), readN(t, r, 5000)...)
				for _, x := range blocksOf(b) {
					if other, ok := seen[x]; ok {
						t.Fatalf("Read of %d: clones %d and %d have a block in common", size, other, i)
					}
					seen[x] = i
				}
			}
		}
	})
}

func TestASlowCounterThatStandsStillEndsTheBurst(t *testing.T) {
	w := newWorld(0)
	w.cpu = nil
	h := w.host()
	l := limitsAt(25e6)
	l.zero = 0 // two equal readings are nothing strange at this rate
	h.pause.limits.Store(l)
	r := newPool(h, 1)
	w.step = 1
	readN(t, r, 16)
	w.counter += 25_000
	most := w.looks + 1_000_000
	w.before = func(look int) {
		w.step = 0
		if look > most {
			t.Fatal("a million looks: this does not end")
		}
	}
	readN(t, r, 16)
	readN(t, r, 5000)
}

// A machine without a usable counter and without a random instruction, whose kernel
// was cloned with it: the clocks are all that differs.
func TestClonesDifferByTheClockWhereNothingElseDoes(t *testing.T) {
	kernel := func() *host {
		h := newHost()
		h.clones, h.random = noDetectors(), nil
		h.pause = new(pauseDetector)
		h.pause.limits.Store(&pauseLimits{why: "switched off for a test"})
		next := byte(0)
		h.system = readerFunc(func(b []byte) (int, error) {
			for i := range b {
				next++
				b[i] = next
			}
			return len(b), nil
		})
		return h
	}
	for _, c := range []struct {
		name  string
		size  int
		stuck bool // the instruction is there, and gives all ones
	}{{"small", 16, false}, {"large", 200_000, false}, {"small, instruction stuck", 16, true}, {"large, instruction stuck", 200_000, true}} {
		t.Run(c.name, func(t *testing.T) {
			kernel := func() *host {
				h := kernel()
				if c.stuck {
					h.random = func() (x, y uint64, ok bool) { return ^uint64(0), ^uint64(0), true }
				}
				return h
			}
			size := c.size
			template := newPool(kernel(), 1)
			readN(t, template, 16)
			seen := map[[16]byte]bool{}
			for range 2 {
				b := readN(t, clonePool(template, kernel()), size)
				for block := range slices.Chunk(b, 16) {
					if seen[[16]byte(block)] {
						t.Fatal("a block is in both clones")
					}
					seen[[16]byte(block)] = true
				}
			}
		})
	}
}

// Early boot: a generator that lives from an NV seed alone never waits for the
// kernel's generator, not even as the last resort.
func TestNVSeedOnlyNeverWaitsForTheKernel(t *testing.T) {
	nv, _ := newSeed(t)
	w := newWorld(0)
	w.cpu = nil
	h := w.host()
	h.ready = func([]byte) bool { return false }
	var asked atomic.Int32
	h.system = readerFunc(func(b []byte) (int, error) { asked.Add(1); return w.system.Read(b) })
	g, err := newGenerator(&Config{Entropy: nv}, h)
	if err != nil {
		t.Fatal(err)
	}
	readN(t, g, 16)
	h.pause.limits.Load().widened.Store(true)
	w.jitter = func() uint64 { return 50 * us }
	for _, n := range []int{16, 5000} {
		readN(t, g, n)
		if asked.Load() != 0 {
			t.Errorf("Read of %d: the kernel, which would make it wait, was asked %d times", n, asked.Swap(0))
		}
	}
}
