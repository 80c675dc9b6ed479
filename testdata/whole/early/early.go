// Package early draws by crypto/rand while the packages after it are initialized.
package early

import (
	"crypto/rand"
	"sync"
	"sync/atomic"
)

var (
	drawn   atomic.Int64
	stop    atomic.Bool
	drawers sync.WaitGroup
)

func init() {
	first := make(chan bool, 1)
	for range 64 { // more than there are shards on most machines
		drawers.Go(func() {
			var b [16]byte
			for !stop.Load() {
				rand.Read(b[:])
				if drawn.Add(1) == 1 {
					first <- true
				}
			}
		})
	}
	<-first
}

// Stop ends the drawing and reports how often it was done.
func Stop() int64 {
	stop.Store(true)
	drawers.Wait()
	return drawn.Load()
}
