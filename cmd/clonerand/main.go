// Command clonerand shows what protects a process of this machine from repeating the bytes of a clone. It also builds
// programs with a patched standard library, handles seed files and clone signals, makes the kernel reseed, and shows
// whether the clones of a machine repeat.
package main

import "os"

// commands is the table: a new command is one entry here and one file.
var commands = []*command{
	goCommand,
	gorootCommand,
	guardCommand,
	probeCommand,
	readCommand,
	seedCommand,
	signalCommand,
	stdCommand,
	versionCommand,
}

func main() {
	keepBrokenPipes()
	status := run(os.Args[1:], os.Stdout, os.Stderr)
	if err := os.Stdout.Close(); err != nil && status == 0 { // some file systems say only now that they are full
		status = failed(os.Stderr, err)
	}
	os.Exit(status)
}
