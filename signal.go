package rand

import (
	"encoding/binary"
	"sync/atomic"
)

// A signal is memory that changes when somebody who knows says that this machine was cloned.
type signal struct {
	name   string   // as the report prints it, e.g. "vmclock"
	memory []uint64 // the mapping (first bytes of it), read with atomic loads only, never unmapped; mixed into the reseed after an event. nil when not used
	watch  []int    // the words of memory that say that the machine was cloned
	hints  []int    // those that also move where nobody was cloned: states reseed, and that is all
	why    string   // why it is not used and the mend, e.g. "/dev/vmclock0: permission denied; add the udev rule of docs/hooks.md"; "" when used
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
