//go:build !unix && !windows

package main

import (
	"errors"
	"io"
	"strings"
)

// keepBrokenPipes has nothing to do: a write to a closed pipe is an error here.
func keepBrokenPipes() {}

// isClosedPipe knows Plan 9's error, which has no value to compare with, and WASI's.
func isClosedPipe(err error) bool {
	return errors.Is(err, io.ErrClosedPipe) || strings.Contains(err.Error(), "closed pipe") ||
		strings.Contains(strings.ToLower(err.Error()), "broken pipe")
}
