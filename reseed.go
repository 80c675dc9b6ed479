package rand

// Reseed draws fresh entropy and mixes it, and perso, into the default generator
// behind [Reader]. Every Read of any goroutine that starts after Reseed has
// returned uses a state that was seeded afterwards, with perso in it. perso may be
// nil or have any length; it need not be secret. The personalizations of earlier
// calls stay in.
//
// An error wraps [ErrEntropy]. The generator is then depleted: nothing that was
// kept leaves it, and the next Read seeds it anew, with perso. That is stricter
// than psa_random_reseed, which Reseed mirrors.
func Reseed(perso []byte) error { return defaultReader.reseed(perso) }

// reseed draws once for all shards; each seeds itself before its next use, from
// the system and with this draw in its additional input.
func (p *pool) reseed(perso []byte) error {
	p.start()
	entropy := make([]byte, entropyLen)
	defer clear(entropy)
	err := p.shards.Load().conf.draw(entropy, nil, true)
	replaceEpoch(&p.epoch, func(e *epoch) *epoch { return e.chainOn(entropy, perso) })
	return err
}

// minUnique is how long a personalization must be to tell clones apart.
const minUnique = 16

// Reseed draws fresh entropy, exactly once, and mixes it and perso into the
// generator: CTR_DRBG Reseed, SP 800-90A 10.2.1.4.2, with what is derived from the
// personalizations so far as additional input. perso may be nil or have any
// length.
//
// Where the source fails the error wraps [ErrEntropy]. The generator then returns nothing
// until a seeding succeeds, and every Read tries one. That is stricter than
// psa_random_reseed, which Reseed mirrors.
//
// After a clone signal, a generator whose only source is an NV seed needs a perso
// of 16 bytes or more that no other clone has. With less Reseed returns
// [ErrCloned]. A signal that comes after the call has begun needs another Reseed.
func (g *Generator) Reseed(perso []byte) error {
	sh := g.pool.shards.Load()
	if sh == nil {
		return errNoGenerator
	}
	clones := sh.clones.current().clones // a clone that is made later may have the same perso
	s := g.pool.acquire(0)
	defer s.release()
	replaceEpoch(&g.pool.epoch, func(e *epoch) *epoch { return e.chainOn(perso) }).wipe()
	e := g.pool.epoch.Load()
	if e.closed {
		return errClosed()
	}
	if len(perso) >= minUnique {
		s.conf.accept(clones)
	}
	s.begin(0)
	return s.seed(e, true)
}
