package rand

// Deplete drops what the default generator keeps. Every Read that starts after Deplete
// has returned first seeds its state anew. Deplete draws no entropy itself and cannot
// fail. Call it before the process or the machine is cloned: then no clone hands out
// what was kept. It mirrors psa_random_deplete.
func Deplete() { defaultReader.deplete() }

// Deplete makes the next Read reseed from the entropy source before it returns a
// byte. It draws nothing itself and cannot fail. It mirrors psa_random_deplete.
func (g *Generator) Deplete() { g.pool.deplete() }

func (p *pool) deplete() {
	if p.epoch.Load() != nil { // or nothing is seeded yet
		replaceEpoch(&p.epoch, (*epoch).depleted)
	}
}
