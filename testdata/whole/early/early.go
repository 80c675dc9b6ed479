// Package early draws by crypto/rand while the packages after it are initialised.
package early

import (
	"crypto/rand"
	"sync/atomic"
)

// Drawn counts the draws. Stop ends them.
var (
	Drawn atomic.Int64
	Stop  atomic.Bool
)

func init() {
	for range 64 { // more than there are shards on most machines
		go func() {
			var b [16]byte
			for !Stop.Load() {
				rand.Read(b[:])
				Drawn.Add(1)
			}
		}()
	}
	for Drawn.Load() == 0 {
	}
}
