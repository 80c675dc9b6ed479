package rand

import "sync/atomic"

// secrets is all of a generator that must stay unknown: one value of fixed size without
// pointers.
type secrets struct {
	drbg ctrDRBG
	kept kept
	in   [entropyLen]byte // entropy on its way into the state
	late [blockLen]byte   // the same, of mixFresh

	// whole is set when a seeding begins. In a child whose memory the kernel has wiped it is
	// false. So even a fork that no detector sees does not make a generator of zeros.
	whole bool
}

// A loan is memory of takeSecrets, to be given back once: the second time the slot may
// be somebody else's.
type loan struct {
	memory *secrets
	ended  atomic.Bool
}

func (l *loan) end() {
	if l != nil && l.ended.CompareAndSwap(false, true) {
		giveSecrets(l.memory)
	}
}
