package rand

import "encoding/binary"

// A Source makes the default generator a Source of math/rand/v2, so that
//
//	r := mathrand.New(rand.Source{})
//
// has IntN, Perm, Shuffle and the like on it. Its zero value is ready for use, and safe
// for concurrent use.
type Source struct{}

// Uint64 returns a uniform 64-bit value. It crashes the program where [Read] would.
func (Source) Uint64() uint64 {
	var b [8]byte
	defaultReader.read(b[:], true)
	return binary.LittleEndian.Uint64(b[:])
}
