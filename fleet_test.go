package rand

import (
	"bytes"
	"slices"
	"testing"
	"testing/synctest"
)

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
				o := r.order.Load()
				kernel, err := w.system.MarshalBinary()
				if err != nil {
					t.Fatal(err)
				}
				// One clone after the other, in the same memory.
				clone := *w
				h := &host{clones: r.conf().host.clones, system: &clone, pause: &pauseDetector{read: clone.read, readFenced: clone.read}}
				h.pause.limits.Store(s.lim)
				if tt.cpu {
					h.random = inPairs(clone.random) // one for all, as nobody clones a CPU
				}
				c := newInstance(&config{host: h, interval: defaultReseedInterval})
				first := make([]block, clones)
				for i := range first {
					clone.counter = w.counter
					clone.system.UnmarshalBinary(kernel)
					if tt.pause {
						clone.counter += 20*ms + uint64(i)
					}
					s.cloneTo(c, c.conf)
					if now := h.pause.peek(); !c.quick(first[i][:], o, now) {
						if err := c.read(first[i][:], o, now); err != nil {
							t.Fatal(err)
						}
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
