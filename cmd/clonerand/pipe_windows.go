package main

import (
	"errors"
	"io"

	"golang.org/x/sys/windows"
)

// keepBrokenPipes has nothing to do: a write to a closed pipe is an error here.
func keepBrokenPipes() {}

func isClosedPipe(err error) bool {
	return errors.Is(err, windows.ERROR_BROKEN_PIPE) || errors.Is(err, windows.ERROR_NO_DATA) || errors.Is(err, io.ErrClosedPipe)
}
