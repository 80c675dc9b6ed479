package rand

// SetPredictionResistance switches prediction resistance of the default generator
// on or off (SP 800-90A, 8.8). When it is on, every Read reseeds from the entropy
// source first, whatever its length, and nothing is served from kept output. The
// switch draws no entropy itself. The error is always nil. It mirrors
// psa_random_set_prediction_resistance.
func SetPredictionResistance(enabled bool) error {
	defaultReader.start()
	defaultReader.resist(enabled)
	return nil
}

// SetPredictionResistance switches prediction resistance on or off, as the function
// [SetPredictionResistance] does for the default generator. An NV seed as the only source
// cannot give it: to switch it on returns [errors.ErrUnsupported] there.
func (g *Generator) SetPredictionResistance(enabled bool) error {
	sh := g.pool.shards.Load()
	if sh == nil {
		return errNoGenerator
	}
	if enabled && sh.conf.nv != nil {
		return errNVResistance()
	}
	if g.pool.epoch.Load().closed {
		return errClosed()
	}
	g.pool.resist(enabled)
	return nil
}

func (p *pool) resist(enabled bool) {
	replaceEpoch(&p.epoch, func(e *epoch) *epoch { return e.resisting(enabled) })
}
