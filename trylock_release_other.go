//go:build race || !amd64

package rand

import "sync/atomic"

// storeRelease stores x after everything before it, as the race detector sees, too.
func storeRelease(p *uint64, x uint64) { atomic.StoreUint64(p, x) }
