package rand

import "time"

const (
	maxExtra = 512 // room for the additional input of a seeding

	// afterEvent is how often a state seeds again after an event on a machine whose
	// CPU has no random instruction: 1, 10, 100 and 1,000 ms later.
	afterEvent = 4
)

// seed seeds the state by the order o and under the clone number that is read
// here, before the entropy is drawn: one read afterwards could hide an
// event. A state whose seeding fails stays unseeded.
func (s *instance) seed(o *order) error {
	n := s.host.clones.current()
	first := s.orderID == 0
	event := s.heir || !first && s.seededUnder != n
	if err := s.conf.admit(n); err != nil {
		s.under = nil
		return err
	}
	system := s.conf.entropy == nil
	// A state that is alone, and no more than reseeded in its turn, stays so.
	stays := system && !first && !event && !s.salted && s.g != 0 && s.stillAlone()
	s.under, s.order, s.began = nil, nil, 0

	var room [maxExtra]byte
	extra := room[:0]
	if s.salted { // what made this clone differ stays in the state
		extra = append(extra, s.salt[:]...)
	}
	if o.chained {
		extra = append(extra, o.chain[:]...)
	}
	blind := system && s.lim == nil && s.host.random == nil // nothing but the clocks may differ in a clone
	if event || first && system || blind || s.conf.nv != nil {
		extra = s.host.eventInput(extra)
	}
	random := true
	if system && !stays && (event || first || s.lim == nil) {
		without := len(extra)
		extra = s.host.cpuInput(extra)
		random = len(extra) == without+cpuInputLen
	}
	defer clear(room[:])
	if err := s.conf.draw(s.in[:], extra); err != nil {
		return err
	}
	if first {
		s.drbg.wipe()
		s.drbg.derive(s.in[:], s.conf.perso, extra)
	} else {
		s.drbg.derive(s.in[:], extra)
	}
	clear(s.in[:])
	s.eraseKept()
	if s.lim != nil && !stays {
		s.seal()
	}
	s.drbg.seeded()
	if event && !random {
		s.eventAt, s.again = time.Now(), 1
	}
	s.under, s.seededUnder, s.orderID, s.heir = n, n, o.id, false
	return nil
}

// seal brings 16 fresh bytes into the seed material, where all that takes longer than
// a pause may is done: what follows until the first check fits in one. They are
// XORed into what the derivation function made, for the lack of time for another.
func (s *instance) seal() {
	from, ok := s.drawSalt()
	xorBlock(s.drbg.seed[:], s.salt[:])
	clear(s.salt[:])
	s.g = 0 // never, unless nothing fell between the draw and its use
	if ok {
		s.aloneSince(from)
	}
}

// againDue says whether one of the seedings is due that follow an event where the
// kernel may still give the clone's bytes.
func (s *instance) againDue() bool {
	if s.again == 0 {
		return false
	}
	wait := time.Millisecond
	for range s.again - 1 {
		wait *= 10
	}
	if time.Since(s.eventAt) < wait {
		return false
	}
	if s.again++; s.again > afterEvent {
		s.again = 0
	}
	return true
}
