//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"
)

// stopSignals also hold the one for a terminal that is gone, as a restored machine's connections are; but not under nohup.
var stopSignals = func() []os.Signal {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP}
	if signal.Ignored(syscall.SIGHUP) {
		signals = signals[:2]
	}
	return signals
}()

// stayInBackground keeps a shell's terminal from stopping a probe in the background, which looks for Enter and prints.
func stayInBackground() { signal.Ignore(syscall.SIGTTIN, syscall.SIGTTOU) }
