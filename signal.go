package rand

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"sync/atomic"
)

// A signal is memory that changes when a hypervisor or a hook says that this machine was cloned.
type signal struct {
	name   string   // as the report prints it, e.g. "vmclock"
	memory []uint64 // the mapping (first bytes of it), read with atomic loads only, never unmapped; mixed into the reseed after an event. nil when not used
	watch  []int    // the words of memory that say that the machine was cloned
	hints  []int    // those that also move where nobody was cloned: states reseed, and that is all

	// Why it is not used. It is put into words by why, since most programs never ask.
	err     error  // nil when it is used
	path    string // of the file or device; "" where none was tried
	missing string // the mend where it does not exist
	denied  string // the mend where it may not be read
}

// why says why a signal is not used, and the mend, e.g. "/dev/vmclock0: permission denied;
// add the udev rule of docs/hooks.md". It is "" when it is used.
func (s *signal) why() string {
	switch {
	case s.err == nil:
		return ""
	case s.path == "":
		return s.err.Error()
	case s.missing != "" && errors.Is(s.err, fs.ErrNotExist):
		return s.path + ": not there; " + s.missing
	case s.denied != "" && errors.Is(s.err, fs.ErrPermission):
		return s.path + ": permission denied; " + s.denied
	}
	return s.path + ": " + s.err.Error()
}

// leftOut is a signal that a setting of the environment has left out.
func leftOut(name, setting string) signal {
	return signal{name: name, err: errors.New("left out by " + setting + "=off")}
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
