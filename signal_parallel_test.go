package rand

import (
	"io"
	"sync"
	"sync/atomic"
	"testing"
)

// Many goroutines read from one Reader while the signal keeps changing: no block twice, and a Read that starts after a
// change is under its number.
func TestManyGoroutinesWhileASignalChanges(t *testing.T) {
	page := make([]uint64, 1)
	h := newHost()
	h.clones = noDetectors()
	h.clones.signals = []func() signal{func() signal {
		return signal{name: "test", memory: page, watch: []int{0}}
	}}
	var r io.Reader = newReaderOn(h)
	const goroutines, reads = 8, 2000
	var stop atomic.Bool
	var changes sync.WaitGroup
	changes.Go(func() {
		for !stop.Load() {
			before := h.clones.poll()
			atomic.AddUint64(&page[0], 1)
			if after := h.clones.poll(); after <= before {
				t.Errorf("the clone number went from %d to %d over a change", before, after)
			}
		}
	})
	blocks := make([]map[[16]byte]bool, goroutines)
	var readers sync.WaitGroup
	for i := range goroutines {
		blocks[i] = make(map[[16]byte]bool)
		readers.Go(func() {
			b := make([]byte, 8192)
			for j := range reads {
				b := b[:16+16*(j%4)]
				if j%100 == 0 {
					b = b[:cap(b)]
				}
				if _, err := r.Read(b); err != nil {
					t.Error(err)
				}
				for ; len(b) >= 16; b = b[16:] {
					if blocks[i][[16]byte(b)] {
						t.Error("a block twice")
					}
					blocks[i][[16]byte(b)] = true
				}
			}
		})
	}
	readers.Wait()
	stop.Store(true)
	changes.Wait()
	all := make(map[[16]byte]bool)
	total := 0
	for _, m := range blocks {
		total += len(m)
		for block := range m {
			all[block] = true
		}
	}
	if len(all) != total {
		t.Errorf("%d of %d blocks were read by two goroutines", total-len(all), total)
	}
}
