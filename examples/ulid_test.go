package examples

import (
	"fmt"
	"testing"

	"github.com/clonerand/rand"
	"github.com/oklog/ulid/v2"
)

// ulid.Make and ulid.DefaultEntropy are made of math/rand with the time of the
// start as the seed: every clone of the process goes on with the same numbers, and
// nothing can be put in their place. ulid.New takes a reader.
func Example_ulid() {
	id, err := ulid.New(ulid.Now(), rand.Reader)
	fmt.Println(len(id.String()), err)
	// Output: 26 <nil>
}

func TestULIDDrawsForEachIdentifier(t *testing.T) {
	mustDraw(t, 10*10, func(c *counter) {
		for range 10 {
			if _, err := ulid.New(ulid.Now(), c); err != nil {
				t.Error(err)
			}
		}
	})
}

// ulid.Monotonic reads 4096 bytes ahead, for some hundred identifiers: two clones
// have the same, and only the millisecond tells theirs apart. Where order within a
// millisecond is needed and clones are possible, make a new one whenever
// Generation has changed; it helps where a fork or a signal tells.
func Example_ulidMonotonic() {
	draws := new(counter)
	ordered := ulid.Monotonic(draws, 0)
	seen := rand.Generation()
	next := func() ulid.ULID {
		if now := rand.Generation(); now != seen {
			ordered, seen = ulid.Monotonic(draws, 0), now
		}
		return ulid.MustNew(ulid.Now(), ordered)
	}

	a, b := next(), next()
	fmt.Println(a.Compare(b), "read ahead:", draws.drawn)
	// Output: -1 read ahead: 4096
}
