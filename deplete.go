package rand

import "sync/atomic"

// Deplete makes every Read of the default generator that starts after it has
// returned seed its state anew first. It draws no entropy itself and can not fail.
// It mirrors psa_random_deplete: call it before the process or the machine is
// cloned, and none of the clones hands out what was kept.
func Deplete() { defaultReader.deplete() }

// Deplete makes the next Read reseed from the entropy source before it returns a
// byte. It draws nothing itself and can not fail. It mirrors psa_random_deplete.
func (g *Generator) Deplete() {
	if g.conf != nil {
		deplete(&g.order)
	}
}

func (r *reader) deplete() {
	if r.order.Load() == nil {
		return // nothing is seeded yet
	}
	deplete(&r.order)
}

func deplete(at *atomic.Pointer[order]) {
	replaceOrder(at, func(o *order) *order {
		next := *o
		next.id++
		return &next
	})
}
