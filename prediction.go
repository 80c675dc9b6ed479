package rand

import (
	"errors"
	"fmt"
	"sync/atomic"
)

// SetPredictionResistance switches prediction resistance of the default generator
// on or off (SP 800-90A, 8.8): when on, every Read reseeds from the entropy source
// first, whatever its length, and nothing is served from kept output. It draws no
// entropy itself. Its error is always nil. It mirrors
// psa_random_set_prediction_resistance.
func SetPredictionResistance(enabled bool) error {
	defaultReader.start()
	setResist(&defaultReader.order, enabled)
	return nil
}

// SetPredictionResistance switches prediction resistance on or off, as the function
// of this name does for the default generator. An NV seed as the only source can
// not give it: then true is errors.ErrUnsupported.
func (g *Generator) SetPredictionResistance(enabled bool) error {
	if g.conf == nil {
		return errNoGenerator
	}
	if enabled && g.conf.nv != nil {
		return fmt.Errorf("clonerand: prediction resistance needs an entropy source besides the NV seed: %w", errors.ErrUnsupported)
	}
	setResist(&g.order, enabled)
	return nil
}

// setResist leaves the order's id as it is: to switch is no reason to reseed.
func setResist(at *atomic.Pointer[order], enabled bool) {
	replaceOrder(at, func(o *order) *order {
		if o.resist == enabled {
			return o
		}
		next := *o
		next.resist = enabled
		return &next
	})
}
