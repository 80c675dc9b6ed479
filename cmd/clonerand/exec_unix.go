//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"
)

const executableSuffix = ""

// runInstead makes this process another program, so that signals, the terminal and the exit
// status are that program's.
func runInstead(path string, args, env []string) error {
	// A caught signal is back at its default in the new program; an ignored one, as
	// keepBrokenPipes leaves it, would stay ignored.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	return &os.PathError{Op: "exec", Path: path, Err: syscall.Exec(path, args, env)}
}
