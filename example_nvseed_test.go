//go:build unix || windows

package rand_test

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/clonerand/rand"
)

// A device whose system source may be poor when it starts has a seed file that carries
// entropy over from its last run. The seed is made once, and mixed into each
// start of the generator.
func ExampleOpenNVSeed() {
	dir, err := os.MkdirTemp("", "seed") // on a device: a folder on its disk, owned by the program's user
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "nvseed")

	if err := rand.CreateNVSeed(file); err != nil {
		fmt.Println(err)
		return
	}
	seed, err := rand.OpenNVSeed(file)
	if err != nil {
		fmt.Println(err) // says what is wrong with the file, and the mend
		return
	}
	g, err := rand.New(&rand.Config{NVSeed: seed, Personalization: []byte("serial number 4711")})
	if err != nil {
		fmt.Println(err)
		return
	}
	n, err := g.Read(make([]byte, 32))
	fmt.Println(n, err)
	// Output: 32 <nil>
}
