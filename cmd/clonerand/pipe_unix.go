//go:build unix

package main

import (
	"errors"
	"io"
	"os/signal"
	"syscall"
)

// keepBrokenPipes makes a write to a closed pipe an error instead of the end of the process.
func keepBrokenPipes() { signal.Ignore(syscall.SIGPIPE) }

func isClosedPipe(err error) bool {
	return errors.Is(err, syscall.EPIPE) || errors.Is(err, io.ErrClosedPipe)
}
