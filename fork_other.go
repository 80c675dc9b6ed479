//go:build !unix && !windows

package rand

// Plan 9, js and wasip1.
//
// On Plan 9 a process ID says nothing of forks: each thread of a Go program is a
// process with a number of its own, made by rfork with shared memory. A program may call
// rfork without shared memory, past the Go runtime. That is seen as a pause on amd64. On
// 386 and arm every small Read has operating-system bytes in it.
//
// WebAssembly cannot fork, but its host can copy an instance's memory. There is no cycle
// counter, so every small Read mixes in bytes of the host's generator, and each 64 KiB of
// a large one starts with a reseed.

func mapForkPage() (page *uint64, why string) { return nil, "no fork is known to copy this program" }

// processID is 0: no number tells a fork here.
func processID() int { return 0 }

// wipeOnFork is never called: there is no page.
func wipeOnFork(*uint64) (why string) { return "no page is wiped on fork here" }
