package rand

// Deplete makes every Read of the default generator that starts after it has
// returned seed its state anew first. It draws no entropy itself and can not fail.
// It mirrors psa_random_deplete: call it before the process or the machine is
// cloned, and none of the clones hands out what was kept.
func Deplete() { defaultReader.deplete() }

// Deplete makes the next Read reseed from the entropy source before it returns a
// byte. It draws nothing itself and can not fail. It mirrors psa_random_deplete.
func (g *Generator) Deplete() { g.pool.deplete() }

func (p *pool) deplete() {
	if p.epoch.Load() != nil { // or nothing is seeded yet
		replaceEpoch(&p.epoch, (*epoch).depleted)
	}
}
