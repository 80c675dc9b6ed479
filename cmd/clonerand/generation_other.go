//go:build !linux

package main

import "errors"

var errNoSignals = errors.New("this system has no generation file: its processes could not see it change without a system call for each Read")

func initGeneration(string) (bool, error) { return false, errNoSignals }

func bumpGeneration(string, [identitySize]byte) (uint64, error) { return 0, errNoSignals }

func readGeneration(string) (generation uint64, id [identitySize]byte, err error) {
	return 0, id, errNoSignals
}
