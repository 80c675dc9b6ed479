//go:build unix

package main

import (
	"os"
	"syscall"
)

const executableSuffix = ""

// runInstead makes this process another program, so that signals, the terminal and the exit
// status are that program's.
func runInstead(path string, args, env []string) error {
	// SIGPIPE, which keepBrokenPipes ignores, stays ignored, and the runtime of the go command
	// takes it over.
	return &os.PathError{Op: "exec", Path: path, Err: syscall.Exec(path, args, env)}
}
