package rand

import (
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

// TestNoBlockTwice: everything at once from 64 goroutines, and no 16 bytes come a
// second time. In CI it takes 10 million blocks, else a tenth.
func TestNoBlockTwice(t *testing.T) {
	const goroutines = 64
	total := 1_000_000
	if os.Getenv("CI") == "true" {
		total = 10_000_000
	}
	host := newHost()
	g, err := newGenerator(&Config{}, host)
	if err != nil {
		t.Fatal(err)
	}
	own, err := newGenerator(&Config{Entropy: newSource("own")}, host)
	if err != nil {
		t.Fatal(err)
	}
	resist := func(on bool) error { return SetPredictionResistance(on) }
	kinds := []randomness{
		{Read: Read, Reseed: Reseed, Deplete: Deplete, Resist: resist},
		{Read: g.Read, Reseed: g.Reseed, Deplete: g.Deplete, Resist: g.SetPredictionResistance},
		{Read: own.Read, Reseed: own.Reseed, Deplete: own.Deplete, Resist: own.SetPredictionResistance},
	}
	t.Cleanup(func() { SetPredictionResistance(false) })
	found := make([][]uint64, goroutines)
	var generation atomic.Uint64
	var wg sync.WaitGroup
	for i := range found {
		wg.Go(func() {
			x := kinds[i%len(kinds)]
			sizes := []int{16, 16, 32, 16, 1024, 48, 16, 4096, 16, 100 * 16}
			b := make([]byte, 4096)
			for n := 0; len(found[i]) < total/goroutines; n++ {
				part := b[:sizes[n%len(sizes)]]
				if _, err := x.Read(part); err != nil {
					t.Error(err)
					return
				}
				found[i] = blocks(found[i], part)
				switch {
				case n%1000 == 10*i:
					if err := x.Reseed(part[:5]); err != nil {
						t.Error(err)
					}
				case n%200 == i:
					x.Deplete()
				case n%3000 == 30*i:
					x.Resist(true)
				case n%3000 == 30*i+3:
					x.Resist(false)
				case n%100 == 50:
					generation.Store(Generation())
				}
			}
		})
	}
	wg.Wait()
	all := slices.Concat(found...)
	slices.Sort(all)
	twice := 0
	for i := 1; i < len(all); i++ {
		if all[i] == all[i-1] { // half a block: by chance at once in 300,000 runs
			twice++
		}
	}
	if len(all) < total*9/10 || twice > 0 {
		t.Errorf("%d blocks came twice among %d", twice, len(all))
	}
}
