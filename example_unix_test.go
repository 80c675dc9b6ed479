//go:build unix

package rand_test

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/clonerand/rand"
)

// A hook that runs after a restore can tell one process with a signal:
//
//	kill -USR1 $(pidof server)
//
// Reads are safe without it where the cycle counter shows the pause. What it adds: it
// reaches machines without such a counter, and the program can drop what it keeps
// itself. Between the restore and the signal the process runs already, so it
// is no replacement for a clone signal. To tell all processes of a machine at
// once use the generation file: clonerand signal bump.
func ExampleReseed_signal() {
	restored := make(chan os.Signal, 1)
	signal.Notify(restored, syscall.SIGUSR1)
	defer signal.Stop(restored)

	reseeded := make(chan error)
	go func() {
		for range restored {
			reseeded <- rand.Reseed(nil) // and drop pools, tickets, counters
		}
	}()

	syscall.Kill(os.Getpid(), syscall.SIGUSR1) // the hook
	fmt.Println(<-reseeded)
	// Output: <nil>
}

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
