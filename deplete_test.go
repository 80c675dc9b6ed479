package rand

import (
	"bytes"
	"sync"
	"sync/atomic"
	"testing"
)

func TestDepleteDraws(t *testing.T) {
	for _, x := range bothKinds(t) {
		t.Run(x.name, func(t *testing.T) {
			for _, size := range []int{1, 16, maxSmall, 5000} {
				x.must(t, 16)
				x.source.E()
				x.Deplete()
				if e := x.source.E(); e != 0 {
					t.Errorf("Deplete drew %d times, want 0", e)
				}
				x.must(t, size)
				want := 1
				if size > maxSmall && x.largeReseeds {
					want = 2
				}
				if e := x.source.E(); e != want {
					t.Errorf("the next Read, of %d bytes, drew %d times, want %d", size, e, want)
				}
				x.must(t, 16)
				if e := x.source.E(); e != 0 {
					t.Errorf("the one after it drew %d times, want 0", e)
				}
			}
			x.Deplete()
			x.Deplete()
			x.Deplete()
			x.must(t, 16)
			if e := x.source.E(); e != 1 {
				t.Errorf("after Deplete three times the next Read drew %d times, want 1", e)
			}
		})
	}
}

// A depleted generator is one that gives none of what it had.
func TestDepleteThrowsKeptOutputAway(t *testing.T) {
	run := func(deplete bool) []byte {
		s := newSource("same")
		x := generatorKind(t, "", &Config{Deterministic: true, Entropy: s}, quietHost(newSource("")), s)
		x.must(t, 16)
		if deplete {
			x.Deplete()
		}
		return x.must(t, 16)
	}
	if bytes.Equal(run(true), run(false)) {
		t.Error("what was kept before Deplete is handed out after it")
	}
}

// Every Read of any goroutine that starts after Reseed or Deplete has returned uses
// a state that was seeded afterwards, in whatever shard it ends up.
func TestReadsAfterDepleteAreSeededAfterwards(t *testing.T) {
	s := newSource("system")
	r := newReaderOn(quietHost(s))
	var drawn atomic.Int64
	s.onDraw = func(int) { drawn.Add(1) }
	_, f := r.parts()
	all := func(do func(i int)) {
		var wg sync.WaitGroup
		for i := range f.states {
			wg.Go(func() { do(i) })
		}
		wg.Wait()
	}
	// Each shard is brought into use, and then asked by holding the others.
	all(func(i int) {
		f.states[i].CompareAndSwap(nil, newState(f.conf, f.forks))
		readShard(t, r, i)
	})
	for round, order := range map[string]func(){"Deplete": r.deplete, "Reseed": func() {
		if err := r.reseed([]byte("perso")); err != nil {
			t.Error(err)
		}
	}} {
		order()
		before := drawn.Load()
		all(func(i int) { readShard(t, r, i) })
		if n := drawn.Load() - before; n != int64(len(f.states)) {
			t.Errorf("after %s %d shards of %d have seeded themselves", round, n, len(f.states))
		}
		before = drawn.Load()
		all(func(i int) { readShard(t, r, i) })
		if n := drawn.Load() - before; n != 0 {
			t.Errorf("after %s %d shards have seeded themselves twice", round, n)
		}
	}
}

func readShard(t testing.TB, r *pool, i int) []byte {
	t.Helper()
	b := make([]byte, 16)
	if _, err := r.only(i).Read(b); err != nil {
		{
			t.Error(err)
		}
	}
	return b
}

// The same with readers that race with who depletes: a Read that started after the
// return of a Deplete was served by a draw that came after it.
func TestDepleteIsSeenAtOnce(t *testing.T) {
	for _, x := range bothKinds(t) {
		t.Run(x.name, func(t *testing.T) {
			var draws atomic.Int64
			x.source.onDraw = func(int) { draws.Add(1) }
			var stop atomic.Bool
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					for !stop.Load() {
						x.must(t, 16)
					}
				})
			}
			for round := range 300 {
				before := draws.Load()
				x.Deplete()
				x.must(t, 16)
				if draws.Load() == before {
					t.Errorf("round %d: a Read after Deplete with nothing drawn since before it", round)
					break
				}
			}
			stop.Store(true)
			wg.Wait()
		})
	}
}
