// Package vmguest is what the guests of vmtest have in common: the only program of a small virtual machine, which
// reads for ever and records what it got in memory that the host reads from outside. See vmtest/main.go for the host.
package vmguest

import "github.com/clonerand/rand/internal/probe"

// A Guest is what a program reads, and what it knows of the package under test.
type Guest struct {
	Generators []probe.Generator
	Counter    string // why the package does not use the counter; "" where it does
	Generation func() uint64
	Patched    bool // the standard library draws from the package
}
