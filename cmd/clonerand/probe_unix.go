//go:build unix

package main

import (
	"os"
	"syscall"
)

// stopSignals also hold the one for a terminal that is gone, as a restored machine's connections are.
var stopSignals = []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP}
