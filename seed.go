package rand

import "time"

// maxExtra is room for the additional input of a seeding: salt, chain, eventInput with
// every signal page, and cpuInput. More is a panic; a test counts what there can be.
const maxExtra = 512

// seed seeds the state in epoch e and under the generation that is read here, before
// the entropy is drawn: one that is read afterwards could hide an event. A state whose
// seeding fails is unseeded. With strict, a failure of the operating system's generator is
// an error where systemStrict can tell; without, it ends the program.
func (s *state) seed(e *epoch, strict bool) error {
	g := s.host.clones.current()
	if err := s.conf.admit(g); err != nil {
		s.generation = nil
		return err
	}
	first := s.seeded == nil
	event := first && g.number != s.conf.number || !first && s.seeded != g
	if event {
		s.window.shut()
	}
	var room [maxExtra]byte
	defer clear(room[:])
	defer clear(s.in[:])
	defer clear(s.late[:])
	extra, random := s.extraInput(room[:0], e, first, event)
	s.generation = nil
	s.whole = true
	if err := s.conf.draw(s.in[:], extra, strict); err != nil {
		return err
	}
	switch {
	case first:
		s.drbg.wipe()
		s.drbg.collect(s.in[:], s.conf.perso, extra)
	case s.seeded.forks != g.forks:
		s.drbg.collect(s.in[:], s.conf.perso, extra) // the kernel may have wiped the state
	default:
		s.drbg.collect(s.in[:], extra)
	}
	s.erase()
	late, err := s.mixFresh()
	if err != nil {
		return err
	}
	s.drbg.reseed(late)
	if event && !random && s.conf.system() {
		s.followUp = followUp{time.Now(), time.Millisecond}
	}
	s.generation, s.seeded, s.epoch = g, g, e
	return nil
}

// extraInput appends what goes into a seeding beside the entropy: what made this clone
// differ, what Reseed was given, and what tells this instance from others. random is
// false where the CPU's random instruction was asked and did not give its part.
func (s *state) extraInput(b []byte, e *epoch, first, event bool) (extra []byte, random bool) {
	if s.buffer.mixing {
		b = append(b, s.buffer.salt[:]...)
	}
	if e.chain != nil {
		b = append(b, e.chain[:]...)
	}
	random = true
	if event || !s.conf.deterministic && (first || s.lim == nil) {
		without := len(b)
		b = s.host.cpuInput(b)
		random = len(b) == without+cpuInputLen
	}
	if event || !s.conf.deterministic && first || !random || s.conf.nv != nil {
		b = s.host.eventInput(b)
	}
	if len(b) > maxExtra {
		panic("clonerand: the additional input of a seeding is longer than its room")
	}
	return b, random
}

// freshen makes the state this instance's alone again without asking its entropy source:
// fresh bytes of the machine are the additional input of its next request.
func (s *state) freshen() error {
	defer clear(s.late[:])
	s.drbg.collect(s.buffer.salt[:])
	s.erase()
	late, err := s.mixFresh()
	if err != nil {
		return err
	}
	s.drbg.absorb(late)
	return nil
}

// mixFresh returns 16 fresh bytes to go into the state. It is called when all slow work
// is done: what follows until the next look takes less than G. It returns nil where the
// window is open: no pause has passed, and the state is this instance's alone already.
func (s *state) mixFresh() (late []byte, err error) {
	if s.conf.deterministic {
		return nil, nil
	}
	if s.lim != nil && s.host.look(&s.window, s.window.limit) {
		return nil, nil
	}
	if err := s.fresh(&s.late); err != nil {
		s.drbg.forget()
		s.window.shut() // a salt that was collected is gone, and the long burst that was in it
		return nil, err
	}
	if s.window.open() {
		s.window.settle()
	}
	return s.late[:], nil
}

// followUp is the seedings after an event on a machine whose CPU has no random
// instruction: 1, 10, 100 and 1,000 ms later the kernel's generator may be its own again.
type followUp struct {
	event time.Time
	next  time.Duration // after the event; 0: none is due any more
}

const lastFollowUp = time.Second

// due reports whether the next seeding is due, and goes on to the one after it.
func (f *followUp) due() bool {
	if f.next == 0 || time.Since(f.event) < f.next {
		return false
	}
	if f.next *= 10; f.next > lastFollowUp {
		f.next = 0
	}
	return true
}
