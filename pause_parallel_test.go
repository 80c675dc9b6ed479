package rand

import (
	"sync"
	"testing"
	"time"
)

// With the real counter, which sees real pauses: many goroutines on few CPUs are
// taken off them all the time. Under the race detector this also shows that what
// they share is shared rightly.
func TestManyGoroutinesNeverReadTheSame(t *testing.T) {
	h := newHost()
	h.clones = noDetectors()
	r := newReaderOn(h)
	const readers = 32
	rounds := 150
	if raceEnabled || testing.Short() {
		rounds = 50
	}
	stop := make(chan struct{})
	var others, reading sync.WaitGroup
	for _, disturb := range []func(){
		func() { r.reseed([]byte("again")) },
		r.deplete,
		h.clones.bump,
		func() { r.resist(true); r.resist(false) },
	} {
		others.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(200 * time.Microsecond):
					if o := r.epoch.Load(); o != nil {
						disturb()
					}
				}
			}
		})
	}
	read := make([][]byte, readers)
	for i := range read {
		reading.Go(func() {
			for range rounds {
				for _, n := range []int{16, 16, 48, 16, 1024, 16, 3008} {
					b := make([]byte, n)
					if _, err := r.Read(b); err != nil {
						t.Error(err)
						return
					}
					read[i] = append(read[i], b...)
				}
			}
		})
	}
	reading.Wait()
	close(stop)
	others.Wait()
	seen := make(map[block]bool)
	for _, b := range read {
		for _, x := range blocksOf(b) {
			if seen[x] {
				t.Fatal("a block was read twice")
			}
			seen[x] = true
		}
	}
}
