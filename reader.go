package rand

import "io"

// Reader is the default generator, safe for concurrent use. On Linux its Read returns
// [ErrEntropy] where a first seeding fails. If the operating system's generator fails
// later, or on another system, the program crashes, as with crypto/rand. Whoever replaces
// Reader replaces it for [Read] and [Text], too.
var Reader io.Reader = defaultReader

// defaultReader is a pool that is made at first use.
var defaultReader = new(pool)

// Read fills b, or returns an error of a state's first seeding and leaves b cleared.
func (p *pool) Read(b []byte) (n int, err error) { return p.read(b, false) }
