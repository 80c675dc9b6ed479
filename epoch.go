package rand

import "sync/atomic"

// An epoch is what Reseed, Deplete and SetPredictionResistance have asked for so far.
// It is immutable: whoever asks for more swaps in the next one. A state that was seeded
// in an epoch of another id is reseeded before its next use.
type epoch struct {
	id     uint64 // starts at 1
	resist bool   // prediction resistance
	closed bool   // no more Reads, whatever else is asked for

	// chain is all personalizations of Reseed; for the default Reader also the entropy drawn
	// with them. It is nil where there are none. Epochs that do not differ in it share it.
	chain *[seedLen]byte
}

// chainOn returns the epoch after e, whose chain is derived from e's chain and the
// inputs.
func (e *epoch) chainOn(input ...[]byte) *epoch {
	next := &epoch{id: e.id + 1, resist: e.resist, closed: e.closed, chain: new([seedLen]byte)}
	last := e.chain
	if last == nil {
		last = new([seedLen]byte)
	}
	df := new(derivation)
	df.derive(next.chain, append([][]byte{last[:]}, input...)...)
	return next
}

// ended returns the epoch after e, which is the last. Its chain is dropped.
func (e *epoch) ended() *epoch { return &epoch{id: e.id + 1, closed: true} }

// depleted returns the epoch after e, in which nothing else is asked for.
func (e *epoch) depleted() *epoch {
	next := *e
	next.id++
	return &next
}

// resisting returns e with prediction resistance on or off. The id stays: to switch is
// no reason to reseed.
func (e *epoch) resisting(enabled bool) *epoch {
	if e.resist == enabled {
		return e
	}
	next := *e
	next.resist = enabled
	return &next
}

// wipe clears the chain of a Generator's epoch that was replaced by one with another chain.
// The state is locked, so nobody else seeds from the chain or derives the next from it.
func (e *epoch) wipe() {
	if e.chain != nil {
		clear(e.chain[:])
	}
}

// replaceEpoch swaps in what next makes of the last epoch, and returns the last.
func replaceEpoch(at *atomic.Pointer[epoch], next func(e *epoch) *epoch) (last *epoch) {
	for {
		last = at.Load()
		if at.CompareAndSwap(last, next(last)) {
			return last
		}
	}
}
