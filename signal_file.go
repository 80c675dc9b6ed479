//go:build linux

package rand

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
)

const generationPath = "/run/clonerand/generation"

// openGenerationFile finds the file that a resume hook changes with "clonerand signal bump": a 64-bit
// little-endian counter, then 56 bytes that say which clone this is. The environment variable
// CLONERAND_GENERATION names another file, or leaves it out when it is "off".
//
// Only the counter is watched. The identity is extra input when the counter has moved; a writer sets it
// before the counter, so whoever has seen the new counter reads the new identity.
func openGenerationFile() signal {
	path := setting("CLONERAND_GENERATION")
	switch {
	case path == "off":
		return signal{name: "generation file", why: "left out by CLONERAND_GENERATION=off"}
	case path == "":
		path = generationPath
	case !filepath.IsAbs(path): // would be another file after a change of folder
		return signal{name: "generation file", why: fmt.Sprintf("CLONERAND_GENERATION=%q is no absolute path", path)}
	}
	return openGenerationFileAt(path)
}

func openGenerationFileAt(path string) signal {
	memory, err := mapSignal(path, false, signalFileSize/8)
	if err != nil {
		why := fmt.Sprintf("%s: %v", path, err)
		if errors.Is(err, fs.ErrNotExist) {
			why = path + ": not there; a resume hook can have one: clonerand signal init"
		}
		return signal{name: "generation file", why: why}
	}
	return signal{name: "generation file", memory: memory, watch: []int{0}}
}
