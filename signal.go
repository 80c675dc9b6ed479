package rand

import (
	"encoding/binary"
	"fmt"
	"strings"
	"sync/atomic"
)

// A signal is memory that changes when somebody who knows says that this machine was cloned.
type signal struct {
	name   string   // as the report prints it, e.g. "vmclock"
	memory []uint64 // the mapping (first bytes of it), read with atomic loads only, never unmapped; mixed into the reseed after an event. nil when not used
	watch  []int    // the words of memory that differ after a clone
	why    string   // why it is not used and the mend, e.g. "/dev/vmclock0: permission denied; add the udev rule of docs/hooks.md"; "" when used
}

// value shows the watched words for people, e.g. "17 at byte 16, 3 at byte 104", or why there are none.
// Every layout is little-endian, so the words, which are loaded in the CPU's own order, are decoded here.
func (s *signal) value() string {
	if s.why != "" {
		return s.why
	}
	b := loadBytes(s.memory)
	var words []string
	for _, w := range s.watch {
		words = append(words, fmt.Sprintf("%d at byte %d", binary.LittleEndian.Uint64(b[8*w:]), 8*w))
	}
	return strings.Join(words, ", ")
}

// loadBytes copies memory that others may be writing: word by word, with atomic loads, so that the race
// detector and the compiler both know. Words of different ages may stand side by side in the copy.
func loadBytes(memory []uint64) []byte {
	b := make([]byte, 0, 8*len(memory))
	for i := range memory {
		b = binary.NativeEndian.AppendUint64(b, atomic.LoadUint64(&memory[i]))
	}
	return b
}
