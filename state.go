package rand

const (
	maxShort = 2 * blockLen // a Read of so much, a key or an UUID, takes no defer
	maxSmall = 1024         // a longer Read has requests of its own
	maxTries = 8            // of anything, before operating-system bytes go over what is returned
)

// secrets is all of a generator that must stay unknown: one value of fixed size without
// pointers.
type secrets struct {
	drbg ctrDRBG
	kept kept
	in   [entropyLen]byte // entropy on its way into the state
	late [blockLen]byte   // the same, of mixFresh
}

// A state is one DRBG, the output that is kept of it, and what is known about how long
// both are this instance's alone. Its methods are called with its lock held.
//
//	            | generation        | window | buffer          | small Reads return
//	unseeded    | nil               | closed | empty           | after a seeding
//	alone       | the latest        | open   | not mixing      | kept output as it is
//	after pause | the latest        | closed | not mixing      | kept output, mixed with a new salt
//	mixing      | the latest        | open   | mixing          | kept output, mixed with the salt at hand
//	outdated    | not the latest    | any    | any             | after a seeding
//
// A state becomes unseeded where a seeding fails and where eight tries of a Read have
// failed. It becomes alone by a seeding or by freshen, after a pause by the next Read,
// mixing by that Read's salt, and alone again when the mixing buffer is used up. A
// Deterministic state is alone as soon as it is seeded, and its window stays closed.
type state struct {
	lock  tryLock
	forks uint64 // how many were known when it was made: a child makes others
	conf  *config
	host  *host
	lim   *pauseLimits // in this Read; nil where the counter is not used

	// No byte leaves unless generation is the latest after the byte was made. It is nil
	// while the state is not seeded.
	generation *generation
	seeded     *generation // of the last seeding, whatever came after it; nil before the first
	epoch      *epoch      // of the last seeding, or one of the same id
	window     window
	buffer     buffer
	tries      int // left in this Read
	followUp   followUp

	*secrets
}

func newState(c *config, forks uint64) *state {
	s := &state{conf: c, host: c.host, forks: forks, secrets: new(secrets)}
	s.window.shut()
	s.buffer.kept = &s.secrets.kept
	s.buffer.erase()
	return s
}

// serves reports whether a Read of n bytes may return kept output as it is: the fast
// path. now is a reading since the Read began. It may be taken before the lock: kept
// output was made before the window's last reading, and a reading from before the
// output was made lies before that one, and so does not hold.
func (s *state) serves(n int, e *epoch, now uint64) bool {
	return uint(n-1) < maxSmall && s.buffer.has(n) && !s.buffer.mixing && s.epoch == e && s.window.holds(now)
}

// release erases what was taken and gives the lock back, however a Read ended: a fault in
// the caller's memory, a panic or a Goexit in its reader leave no lock held and nothing
// that could be given twice.
func (s *state) release() {
	s.buffer.eraseTaken()
	s.lock.unlock()
}

// hand copies kept output to b on the fast path and gives the lock back. It reports
// whether b may be returned.
func (s *state) hand(b []byte) bool {
	out := s.buffer.take(len(b))
	defer func() { // release, written out since it is faster
		clear(out)
		s.buffer.erased = s.buffer.pos
		s.lock.unlock()
	}()
	copy(b, out)
	if s.host.clones.still(s.generation) {
		return true
	}
	clear(b)
	return false
}

// read fills b, or returns an error: then, and where it does not return, b holds bytes that
// the caller has to clear. now is a reading of the counter since the Read began, or 0.
func (s *state) read(b []byte, e *epoch, now uint64) (err error) {
	if len(b) == 0 {
		return nil
	}
	s.begin(now)
	if e.resist {
		s.generation = nil // a seeding for this Read
	}
	for s.tries = maxTries; ; {
		if err := s.prepare(e); err != nil {
			return err
		}
		under := s.generation // a seeding in the middle of b moves it on, and not what was made before
		made, err := s.make(b, e)
		if err != nil {
			return err
		}
		if e.resist {
			s.erase()
		}
		// The process ID is looked at here, too, where no page is trusted.
		if made && s.host.clones.current() == under {
			return nil
		}
		if s.tries--; s.tries <= 0 {
			s.generation = nil // nobody knows whose state this is: the next Read starts anew
			return s.overlay(b)
		}
		clear(b)
	}
}

// begin takes the first reading of a Read, if the caller has none.
func (s *state) begin(now uint64) {
	if s.conf.deterministic {
		return
	}
	if s.lim = s.host.pause.usable(); s.lim == nil {
		s.window.close()
		return
	}
	last := s.window.last
	if now != 0 && now >= last {
		s.window.pass(now, s.window.limit)
	} else {
		s.host.look(&s.window, s.window.limit)
	}
	if last != 0 && !s.window.open() && s.lim.long(s.window.last-last) {
		s.host.recheck()
	}
}

// prepare seeds the state if it is not seeded for this instance and this epoch.
func (s *state) prepare(e *epoch) error {
	if s.generation == nil || s.generation != s.host.clones.current() || s.epoch.id != e.id || s.followUp.due() {
		return s.seed(e, s.seeded == nil)
	}
	s.epoch = e
	return nil
}

// make fills b from the seeded state. It reports false when it could not do so without
// a pause in maxTries.
func (s *state) make(b []byte, e *epoch) (made bool, err error) {
	if len(b) <= maxSmall {
		return s.small(b, e)
	}
	return true, s.large(b, e)
}

// small makes at most maxSmall bytes from kept output.
func (s *state) small(b []byte, e *epoch) (made bool, err error) {
	if !s.buffer.has(len(b)) {
		if err := s.refill(len(b), e); err != nil {
			return false, err
		}
	}
	out := s.buffer.take(len(b)) // release erases it
	if s.conf.deterministic || !s.buffer.mixing && s.window.open() {
		copy(b, out)
		return true, nil
	}
	return s.mix(b, out)
}

// refill makes new kept output, or under prediction resistance just what this Read
// needs.
func (s *state) refill(n int, e *epoch) error {
	if err := s.renew(e, !s.buffer.mixing); err != nil {
		return err
	}
	s.erase()
	if n = wholeBlocks(n); !e.resist {
		n = bufferLen
	}
	r := s.drbg.begin()
	s.buffer.fill(&r, n)
	s.drbg.end(&r)
	if s.lim != nil {
		s.host.look(&s.window, s.window.limit)
	}
	return nil
}

// erase leaves the buffer empty. Where only its salt was this instance's alone, nothing
// is from then on.
func (s *state) erase() {
	if s.buffer.mixing {
		s.window.close()
	}
	s.buffer.erase()
}

// renew does before a request what is due: a seeding, or what makes the state this
// instance's alone, unless it is that already.
func (s *state) renew(e *epoch, alone bool) error {
	switch {
	case s.drbg.reseedCounter > s.conf.interval:
		return s.seed(e, false)
	case alone || s.conf.deterministic:
		return nil
	case s.conf.system():
		return s.seed(e, false)
	default:
		return s.freshen()
	}
}

// mix mixes out in place and copies it to b, and reports whether no pause fell between
// the making of the salt and the end. In maxTries without that it reports false.
func (s *state) mix(b, out []byte) (made bool, err error) {
	for failed := 1; ; failed++ {
		if !s.buffer.mixing || !s.window.open() {
			s.buffer.startMixing()
			if err := s.fresh(&s.buffer.salt); err != nil {
				return false, err
			}
		}
		if s.mixWatched(b, out) {
			return true, nil
		}
		if s.tries--; s.tries <= 0 {
			return false, nil
		}
		if failed%2 == 0 {
			s.host.widen(s.lim, s.conf.nv != nil)
		}
	}
}

func (s *state) mixWatched(b, out []byte) bool {
	for len(out) > 0 {
		step := out[:min(len(out), mixStep)]
		s.buffer.mix(step)
		b, out = b[copy(b, step):], out[len(step):]
		if s.lim != nil && !s.host.look(&s.window, s.lim.allowance.Load()) {
			return false
		}
	}
	s.window.settle()
	return true
}

// fresh is host.fresh for this state. A source that must not be waited for is that of
// a generator which lives from an NV seed alone: it may run before the kernel's
// generator is seeded.
func (s *state) fresh(salt *[blockLen]byte) error {
	return s.host.fresh(salt, &s.window, s.lim, s.conf.nv != nil, s.in[:])
}

// overlay is the last resort: bytes of the operating system over whatever is in b, with
// those of the CPU's random instruction, or else with the counter or the clock absorbed.
func (s *state) overlay(b []byte) error {
	block := (*[blockLen]byte)(s.in[:])
	defer clear(block[:])
	for len(b) > 0 {
		if err := readEntropy(s.host.system, block[:]); err != nil {
			return err
		}
		if x, y, ok := s.host.draw(); ok {
			xorWords(block[:], x, y)
		} else if s.lim != nil {
			s.host.absorb(block, s.host.pause.now())
		} else {
			s.host.absorbClock(block)
		}
		n := min(len(b), blockLen)
		for i := range n {
			b[i] ^= block[i]
		}
		b = b[n:]
	}
	return nil
}
