//go:build unix

package rand

import "golang.org/x/sys/unix"

// processID is what tells a forked child from its parent where no page does. It
// can be the same in both: in a new PID namespace, or when the number of a
// process that has ended is given again.
func processID() int { return unix.Getpid() }
