package rand

import (
	"io"
	"runtime"
)

// Reader is the default generator, safe for concurrent use. Whoever replaces it
// replaces it for [Read] and [Text], too, as with crypto/rand.
var Reader io.Reader = defaultReader

// defaultReader is a pool that is made at first use.
var defaultReader = new(pool)

// Read fills b. It returns an error only where the operating system's generator fails
// at the first seeding or in Reseed, and then b is cleared. Where it fails later the
// program crashes, as with crypto/rand.
func (p *pool) Read(b []byte) (n int, err error) { return p.read(b, false) }

// start makes the states of the default Reader, unless they are there. It has no lock:
// of two that start at once one wins.
func (p *pool) start() {
	if p.shards.Load() != nil {
		return
	}
	n := 16
	for n < 2*runtime.NumCPU() {
		n *= 2
	}
	p.set(newConfig(thisHost()), &epoch{id: 1}, n)
}
