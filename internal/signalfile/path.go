// Package signalfile has the rules for the files that tell a machine that it was cloned. The package that reads them
// and the command that writes them share it, so that the command makes no file that the package refuses.
package signalfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
)

const (
	// Generation is the generation file where nothing names another.
	Generation = "/run/clonerand/generation"
	// Size is the least size in bytes of a regular file that is mapped: a counter of 64 bits and an identity.
	Size = 64
)

// ErrOff says that the generation file is left out.
var ErrOff = errors.New("off leaves the generation file out")

// Path returns the generation file that a setting names.
func Path(setting string) (string, error) {
	switch {
	case setting == "":
		return Generation, nil
	case setting == "off":
		return "", ErrOff
	case !filepath.IsAbs(setting): // would be another file after a change of folder
		return "", fmt.Errorf("%q is no absolute path", setting)
	}
	return setting, nil
}

// LittleEndian is the value of a word that a page holds in little-endian order, and the word for a value.
func LittleEndian(word uint64) uint64 {
	var b [8]byte
	binary.NativeEndian.PutUint64(b[:], word)
	return binary.LittleEndian.Uint64(b[:])
}
