package examples

import (
	"fmt"
	"testing"

	"github.com/clonerand/rand"
	"github.com/gofrs/uuid/v5"
)

// The default generator copies crypto/rand.Reader while the package is initialized.
// A generator of one's own takes a reader; as DefaultGenerator it serves
// the functions of the package, too.
func Example_gofrsUUID() {
	uuid.DefaultGenerator = uuid.NewGenWithOptions(uuid.WithRandomReader(rand.Reader))

	id, err := uuid.NewV4()
	fmt.Println(id.Version(), len(id.String()), err)
	// Output: 4 36 <nil>
}

// Version 7 is a time, a counter of 12 bits and 62 random bits. The generator keeps
// the counter, and two clones may have the same; the random bits are drawn each
// time and tell them apart.
func TestGofrsUUIDDrawsForEachIdentifier(t *testing.T) {
	for version, make := range map[int]func(*uuid.Gen) (uuid.UUID, error){
		4: (*uuid.Gen).NewV4,
		7: (*uuid.Gen).NewV7,
	} {
		mustDraw(t, 10*8, func(c *counter) {
			g := uuid.NewGenWithOptions(uuid.WithRandomReader(c))
			for range 10 {
				if id, err := make(g); err != nil || int(id.Version()) != version {
					t.Error(id, err)
				}
			}
		})
	}
}
