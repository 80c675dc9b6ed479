package rand

import "runtime"

const (
	maxShort = 2 * blockLen // a Read of up to this, a key or a UUID, takes no defer
	maxTries = 8            // of anything, before operating-system bytes go over what is returned
)

// A state is one DRBG, the output that is kept of it, and what is known about how long
// both are this instance's alone. Its methods are called with its lock held.
//
//	            | generation, epoch | window | buffer     | a small Read returns
//	unseeded    | nil               | any    | any        | output made after a seeding
//	outdated    | not the latest    | any    | any        | the same
//	alone       | the latest        | open   | not mixing | kept output as it is
//	after pause | the latest        | closed | any        | kept output, mixed with a new salt
//	mixing      | the latest        | open   | mixing     | kept output, mixed with the salt at hand
//
// A seeding or freshen makes a state alone. A pause closes the window. The next small Read
// draws a salt, and from then on the buffer is mixing. When that buffer is used up or
// worn, and before a large Read, the state is made alone again. A seeding that fails, or a Read
// whose eight tries fail, leaves the state unseeded.
//
// Where the counter is not used the window is always closed. So it is in a Deterministic
// state, which returns its kept output as it is all the same. docs/design.md has more.
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

	// Memory that is given back when the state is unreachable. So whoever uses secrets
	// keeps the state alive meanwhile: each use ends with unlock, or with KeepAlive.
	*secrets
	loan *loan // nil where it is ordinary memory
}

func newState(c *config, forks uint64) *state {
	memory, mapped := takeSecrets(c.host.clones.last.Load(), forks)
	s := &state{conf: c, host: c.host, forks: forks, secrets: memory}
	if mapped {
		s.loan = &loan{memory: memory}
		if !c.lasting { // the first cleanup of a process starts goroutines
			runtime.AddCleanup(s, (*loan).end, s.loan)
		}
	}
	s.window.shut()
	memory.drbg.reseedCounter = 0 // a new page that is written to before it is read takes one fault, and not two
	s.buffer = buffer{kept: &memory.kept, pos: bufferLen, erased: bufferLen}
	return s
}

// serves reports whether a Read of n bytes may return kept output as it is: the fast
// path. now is a reading since the Read began, perhaps from before the lock was taken. If
// another Read has made the output since, the window's last reading is later than now,
// and now does not hold.
func (s *state) serves(n int, e *epoch, now uint64) bool {
	return uint(n-1) < maxSmall && s.buffer.has(n) && !s.buffer.mixing && s.epoch == e && s.window.holds(now)
}

// release erases what was taken and gives the lock back. It is deferred, so that a fault
// in the caller's memory, or a panic or Goexit in its reader, leaves no lock held, and
// nothing that could be given twice.
func (s *state) release() {
	s.buffer.eraseTaken()
	s.lock.unlock()
	runtime.KeepAlive(s)
}

// hand copies kept output to b on the fast path and gives the lock back. It reports
// whether it did: after an event nothing is copied.
func (s *state) hand(b []byte) bool {
	out := s.buffer.take(len(b))
	defer func() { // release, written out since it is faster
		clear(out)
		s.buffer.erased = s.buffer.pos
		s.lock.unlock()
		runtime.KeepAlive(s)
	}()
	if !s.host.clones.still(s.generation) {
		return false
	}
	copy(b, out)
	return true
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
		under := s.generation // of the first byte of b: a seeding in its middle may have a later one
		made, err := s.make(b, e)
		if err != nil {
			return err
		}
		if e.resist {
			if s.buffer.mixing { // the salt goes, and the next one needs a long burst again
				s.window.shut()
			}
			s.erase()
		}
		// The process ID is looked at here, too, where no page is trusted.
		if made && s.host.clones.current() == under && s.whole {
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
	if now != 0 && now >= s.window.last {
		s.window.pass(now, s.window.limit)
	} else {
		s.hearOfSetBack()
		s.host.look(&s.window, s.window.limit)
	}
	s.recheck(s.host.pause.doubt.Load())
	if s.lim == nil || s.lim.g != s.window.limit {
		s.window.close() // it was opened by limits that are not those of this machine
	}
}

// hearOfSetBack makes one event of a counter that was set back. A state that was not seeded
// since then holds a reading from before. Only a reading below the one that showed the
// event shows another.
func (s *state) hearOfSetBack() {
	if s.seeded == nil {
		return
	}
	if g := s.host.clones.last.Load(); g.setBacks != s.seeded.setBacks {
		s.window.last = min(s.window.last, g.setBackTo)
	}
}

// recheck is host.recheck, if a long pause was seen or there is a doubt.
func (s *state) recheck(doubt bool) {
	if long := s.lim.long(s.window.long); long || doubt {
		s.window.long = 0
		s.host.recheck(long)
		s.lim = s.host.pause.usable()
	}
}

// prepare seeds the state if it is not seeded for this instance and this epoch.
func (s *state) prepare(e *epoch) error {
	if s.generation == nil || !s.whole || s.generation != s.host.clones.current() || s.epoch.id != e.id || s.followUp.due() {
		return s.seed(e, s.seeded == nil)
	}
	s.epoch = e
	return nil
}

// make fills b from the seeded state. It reports false when a pause fell into each of
// maxTries.
func (s *state) make(b []byte, e *epoch) (made bool, err error) {
	if len(b) <= maxSmall {
		return s.small(b, e)
	}
	return true, s.large(b, e)
}

// lookBehind looks at the counter, if it is used, after n bytes were made. It reports whether
// no pause was seen. Where the steps of the counter are so coarse that two readings may be
// equal, it must have moved in the time that 4 KiB take.
func (s *state) lookBehind(n int) bool {
	if s.lim == nil {
		return true
	}
	last := s.window.last
	held := s.host.look(&s.window, s.window.limit)
	if held && n >= streamStep && s.window.last == last {
		s.window.close()
		return false
	}
	return held
}

// erase leaves the buffer empty. Where the buffer was mixing, its salt alone told this
// instance from clones, and that is gone now.
func (s *state) erase() {
	if s.buffer.mixing {
		s.window.close()
	}
	s.buffer.erase()
}

// renew readies the DRBG for a request. It seeds when the interval is over, and makes the
// state this instance's alone unless alone says that it is.
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

// fresh is host.fresh for this state. A generator whose only source is an NV seed does not
// wait for the kernel's generator: it may run before that is seeded.
func (s *state) fresh(salt *[blockLen]byte) error {
	if s.lim != nil { // a long pause or a set-back in the middle of a Read may have made it stale
		s.recheck(false)
		if s.lim = s.host.pause.usable(); s.lim == nil {
			s.window.close()
		}
	}
	return s.host.fresh(salt, &s.window, s.lim, s.conf.nv != nil, s.in[:])
}
