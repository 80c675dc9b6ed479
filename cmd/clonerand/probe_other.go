//go:build !linux

package main

import "github.com/clonerand/rand/internal/probe"

var kernelGenerators []probe.Generator

func counterReadable() bool { return true }

func thisMachine() probe.Machine { return probe.Machine{System: systemName("")} }
