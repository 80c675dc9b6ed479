package rand

import "sync/atomic"

// An order is what Reseed, Deplete and SetPredictionResistance have asked for so
// far. It is immutable; who asks for more swaps in the next one. States seeded
// under another id are reseeded before their next use.
type order struct {
	id      uint64
	resist  bool          // prediction resistance
	chained bool          // something is in the chain
	chain   [seedLen]byte // all personalizations of Reseed, and of the default Reader the entropy drawn with them
}

// chainOn returns an order that follows o with what was derived from the chain
// and the inputs.
func (o *order) chainOn(input ...[]byte) *order {
	next := &order{id: o.id + 1, resist: o.resist, chained: true}
	df := new(derivation)
	df.derive(&next.chain, append([][]byte{o.chain[:]}, input...)...)
	return next
}

// replaceOrder swaps in what next makes of the order that is there.
func replaceOrder(at *atomic.Pointer[order], next func(o *order) *order) {
	for o := at.Load(); !at.CompareAndSwap(o, next(o)); {
		o = at.Load()
	}
}
