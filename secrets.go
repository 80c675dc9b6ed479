package rand

import (
	"runtime"
	"sync/atomic"
)

// secrets is all of a generator that must stay unknown: one value of fixed size without
// pointers.
type secrets struct {
	drbg ctrDRBG
	kept kept
	in   [entropyLen]byte // entropy on its way into the state
	late [blockLen]byte   // the same, of mixFresh

	// whole is set when a seeding begins. In a child whose memory the kernel has wiped it is
	// false. So a fork that no detector sees makes no generator of zeros.
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

// wipe leaves a state that nobody uses any more.
func (s *state) wipe() {
	*s.secrets = secrets{}
	s.generation, s.epoch = nil, nil // an epoch has a chain
	s.buffer.erase()
	runtime.KeepAlive(s)
}

// close wipes the state of a Generator that has ended, and gives its memory back before it is
// unreachable. Whoever still asks it finds ordinary memory in which nothing is ever kept.
func (s *state) close() {
	s.wipe()
	if s.loan != nil && !s.loan.ended.Load() {
		s.secrets = new(secrets)
		s.buffer.kept = &s.secrets.kept
		s.loan.end()
	}
}

// leave wipes a state from before a fork and gives its memory back. The state stays locked:
// whoever still finds it takes another.
func (s *state) leave() {
	s.wipe()
	s.loan.end()
}
