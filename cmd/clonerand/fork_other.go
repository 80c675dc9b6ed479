//go:build !(linux || freebsd || netbsd || dragonfly)

package main

import (
	"errors"
	"time"
)

// forkAndRead has nothing to call: Windows, Plan 9 and WebAssembly have no such fork, and on macOS, OpenBSD and the
// others a Go program has no system call for it.
func forkAndRead(_, _ *forkedBytes, _ time.Duration) error { return errors.ErrUnsupported }
