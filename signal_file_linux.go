package rand

import (
	"errors"

	"github.com/clonerand/rand/internal/signalfile"
)

// openGenerationFile finds the file that a resume hook changes with "clonerand signal bump": a 64-bit
// little-endian counter, then 56 bytes that say which clone this is. The environment variable
// CLONERAND_GENERATION names another file, or leaves it out when it is "off".
//
// Only the counter is watched. The identity is extra input when the counter has moved; a writer sets it
// before the counter, so whoever has seen the new counter reads the new identity.
func openGenerationFile() signal {
	path, err := signalfile.Path(setting("CLONERAND_GENERATION"))
	switch {
	case errors.Is(err, signalfile.ErrOff):
		return leftOut("generation file", "CLONERAND_GENERATION")
	case err != nil:
		return signal{name: "generation file", err: errors.New("CLONERAND_GENERATION=" + err.Error())}
	}
	return openGenerationFileAt(path)
}

func openGenerationFileAt(path string) signal {
	s := signal{name: "generation file", path: path, missing: "a resume hook can have one: clonerand signal init"}
	if s.memory, s.err = mapSignal(path, false, signalfile.Size/8); s.err == nil {
		s.watch = []int{0}
	}
	return s
}
