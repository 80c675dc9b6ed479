//go:build js || plan9

package main

import "os"

// There is no QEMU on these systems. This program builds there, and says so.

var endSignals []os.Signal

func isRefused(error) bool { return false }
