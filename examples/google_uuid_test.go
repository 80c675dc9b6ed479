package examples

import (
	cryptorand "crypto/rand"
	"fmt"
	"testing"

	"github.com/clonerand/rand"
	"github.com/google/uuid"
)

// The package copies crypto/rand.Reader while it is initialized, so it has to be
// told, once, before the first identifier is made.
func Example_googleUUID() {
	uuid.SetRand(rand.Reader)
	defer uuid.SetRand(nil)

	id := uuid.New()
	fmt.Println(id.Version(), id.Variant(), len(id.String()))
	// Output: VERSION_4 RFC4122 36
}

// To put another reader into crypto/rand.Reader does not reach google/uuid.
func TestGoogleUUIDNeedsSetRand(t *testing.T) {
	c := new(counter)
	old := cryptorand.Reader
	defer func() { cryptorand.Reader = old }()
	cryptorand.Reader = c
	if uuid.New(); c.drawn != 0 {
		t.Error("it draws from crypto/rand.Reader now; the documentation of this says otherwise")
	}
	defer uuid.SetRand(nil)
	mustDraw(t, 16, func(c *counter) {
		uuid.SetRand(c)
		uuid.New()
	})
}

// The random pool of google/uuid is output that was drawn, and lies in memory
// that is not ours: up to 15 identifiers of 16 bytes each, which all clones of the
// process return. So do not enable it. If it has to be on, the pool must be
// dropped before anything is cloned, or when Generation has changed; and where no
// clone signal exists Generation does not change. Here the clone is played by a
// pool that was filled beforehand.
func Example_googleUUIDPool() {
	draws := new(counter)
	uuid.SetRand(draws)
	defer uuid.SetRand(nil)

	uuid.EnableRandPool()
	uuid.New()
	filled := draws.drawn
	for range 15 {
		uuid.New()
	}
	fmt.Println("drawn for the first identifier:", filled, "bytes; for the next 15:", draws.drawn-filled)

	uuid.DisableRandPool() // drops what is in the pool
	before := draws.drawn
	uuid.New()
	fmt.Println("drawn for one without the pool:", draws.drawn-before)
	// Output:
	// drawn for the first identifier: 256 bytes; for the next 15: 0
	// drawn for one without the pool: 16
}
