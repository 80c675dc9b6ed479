package rand

// A signal is memory that changes when somebody who knows says that this machine was cloned.
type signal struct {
	name   string   // as the report prints it, e.g. "vmclock"
	memory []uint64 // the mapping, read with atomic loads only, never unmapped; mixed into the reseed after an event
	watch  []int    // the words of memory that differ after a clone
	why    string   // why it is not used and the mend; "" when used
}

var signals = [0]func() signal{}
