package rand

import (
	"bytes"
	"errors"
	"testing"
)

// rested is a reader that has kept output, and its world, after a pause.
func rested(t *testing.T, w *world, pause uint64) *reader {
	t.Helper()
	r := newShardedReader(w.host(), 1)
	readN(t, r, 16)
	readN(t, r, 16)
	w.counter += pause
	return r
}

func TestAPauseIsMoreThanTwoMicroseconds(t *testing.T) {
	// A Read on the quick path looks once, and that takes a step. One tick more than G
	// is allowed at this rate, since a difference of nothing counts as a pause.
	tests := []struct {
		name  string
		since uint64 // ticks from the last reading to this one
		draws int
	}{
		{"at once", 20, 0},
		{"G", 2000, 0},
		{"more than G", 2001, 2},
		{"a second", 1e9, 2},
		{"nothing: it stood still", 0, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(0)
			r := rested(t, w, 0)
			// The first buffer is folded; the next is as it was generated.
			exhaust(t, r)
			readN(t, r, 16)
			before := w.drawn["cpu"]
			w.before = func(look int) { w.counter += tt.since - w.step; w.before = nil }
			readN(t, r, 16)
			if got := w.drawn["cpu"] - before; got < tt.draws || tt.draws == 0 && got != 0 {
				t.Errorf("%d draws, not %d", got, tt.draws)
			}
		})
	}
}

func TestReadingsThatCrossAreNoEvent(t *testing.T) {
	// Another CPU's counter is read up to 1 us too early where the reading is not fenced.
	w := newWorld(0)
	h := w.host()
	skew := uint64(0)
	h.pause.read = func() uint64 { return w.read() - skew }
	r := newShardedReader(h, 1)
	readN(t, r, 16)
	exhaust(t, r)
	readN(t, r, 16)
	number, draws := h.clones.poll(), w.drawn["cpu"]
	for range 100 {
		skew = 1 * us
		readN(t, r, 16)
		skew = 0
		readN(t, r, 16)
	}
	if got := h.clones.poll(); got != number {
		t.Errorf("the clone number went from %d to %d", number, got)
	}
	if got := w.drawn["cpu"] - draws; got != 0 {
		t.Errorf("%d draws: a crossing was taken for a pause", got)
	}
}

func TestACounterSetBackIsAnEventForEveryShard(t *testing.T) {
	for _, size := range []int{16, 1024, 5000} {
		w := newWorld(0)
		r := newShardedReader(w.host(), 4)
		o, f := r.start()
		for i := range f.shards {
			f.shards[i].Store(newInstance(f.conf))
			if err := r.shard(i).read(make([]byte, 16), o, 0); err != nil {
				t.Fatal(err)
			}
		}
		number := r.conf().host.clones.poll()
		w.counter -= 1000 * ms
		readFromShard(t, r, 0, size)
		if got := r.conf().host.clones.poll(); got != number+1 {
			t.Errorf("Read of %d: the clone number went from %d to %d", size, number, got)
		}
		for i := 1; i < 4; i++ {
			// Where each was last alone comes again: to the tick, the worst that can be.
			w.counter = r.shard(i).alone
			seeded := w.seeded
			readFromShard(t, r, i, size)
			if w.seeded == seeded {
				t.Errorf("Read of %d: shard %d did not seed itself anew", size, i)
			}
		}
	}
}

// readFromShard reads from one shard.
func readFromShard(t *testing.T, r *reader, i, n int) []byte {
	t.Helper()
	o, f := r.start()
	b := make([]byte, n)
	if s, now := r.shard(i), f.pause.peek(); !s.quick(b, o, now) {
		if err := s.read(b, o, now); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// A Generator is cloned between its making, its reseeds and its Reads. Where the
// counter is used, the kernel may be a clone as well.
func TestClonesOfAGeneratorReadNothingEqual(t *testing.T) {
	preludes := map[string]func(g *Generator) error{
		"New":        func(g *Generator) error { return nil },
		"Reseed":     func(g *Generator) error { return g.Reseed(nil) },
		"small Read": func(g *Generator) error { _, err := g.Read(make([]byte, 16)); return err },
		"large Read": func(g *Generator) error { _, err := g.Read(make([]byte, 5000)); return err },
		"Deplete":    func(g *Generator) error { g.Deplete(); return nil },
	}
	hosts := map[string]func(w *world) *host{"watched": (*world).host, "without a counter": (*world).unwatched}
	for kind, hostOf := range hosts {
		for name, prelude := range preludes {
			inBubble(t, kind+", "+name, func(t *testing.T) {
				for _, size := range []int{16, 1024, 1025, 4096, 200 << 10} {
					w := newWorld(0)
					g, err := newGenerator(new(Config), hostOf(w))
					if err != nil {
						t.Fatal(err)
					}
					if err := prelude(g); err != nil {
						t.Fatal(err)
					}
					var clones [2][]byte
					for i := range clones {
						w := w.clone()
						w.counter += ms
						w.cpu = streamOf("cpu", uint64(i)+1)
						if kind != "watched" {
							w.system = streamOf("system", uint64(i)+1)
						}
						c := cloneGenerator(g, hostOf(w))
						clones[i] = append(readN(t, c, size), readN(t, c, 5000)...)
					}
					if equal := equalBlocks(clones[0], clones[1]); equal != 0 {
						t.Errorf("Read of %d: %d blocks are equal", size, equal)
					}
				}
			})
		}
	}
}

func TestWhatWasHandedOutIsErased(t *testing.T) {
	for _, pause := range []uint64{0, ms} {
		r := rested(t, newWorld(0), pause)
		for _, n := range []int{1, 16, 100, 1024} {
			b := readN(t, r, n)
			s := r.shard(0)
			if n >= blockLen && bytes.Contains(s.kept[:], b[:blockLen]) {
				t.Errorf("pause %d, Read of %d: its bytes are still there", pause, n)
			}
			if !bytes.Equal(s.kept[:s.pos], make([]byte, s.pos)) {
				t.Errorf("pause %d, Read of %d: what is used up is not erased", pause, n)
			}
		}
		s := r.shard(0)
		s.eraseKept()
		if !bytes.Equal(s.kept[:], make([]byte, len(s.kept))) || s.salt != (block{}) {
			t.Error("kept output, fold key or salt are not erased")
		}
	}
}

// Where neither counter nor instruction is to be had, a salt is the system's bytes: if
// they fail to come, the Read fails.
func TestASaltThatFailsFailsTheRead(t *testing.T) {
	s := newSource("system")
	g, err := newGenerator(&Config{}, foldingHost(s))
	if err != nil {
		t.Fatal(err)
	}
	b := readN(t, g, 16)
	s.setFail(errors.New("the cause"))
	if n, err := g.Read(b); n != 0 || !errors.Is(err, ErrEntropy) || [16]byte(b) != [16]byte{} {
		t.Errorf("a Read without fresh bytes returned %d, %v", n, err)
	}
	s.setFail(nil)
	readN(t, g, 16)
}
