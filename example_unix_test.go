//go:build unix

package rand_test

import (
	"fmt"
	"os"
	"os/signal"
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
