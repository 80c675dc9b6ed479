//go:build !js && !plan9

package main

import (
	"errors"
	"os"
	"syscall"
)

// endSignals end the run beside an interrupt.
var endSignals = []os.Signal{syscall.SIGTERM, syscall.SIGHUP}

// isRefused reports whether nobody listened yet.
func isRefused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }
