package rand

import (
	"crypto/cipher"
	"time"
)

const (
	keptLen  = 4096 // output that one generate makes for small Reads
	maxSmall = 1024 // a longer Read has generates of its own
	maxTries = 8    // of anything, before operating-system bytes go over what is returned
)

// secrets is all that must not be known of a generator: one value of fixed size
// without pointers.
type secrets struct {
	drbg ctrDRBG
	kept [keptLen + keyLen]byte // output not handed out, erased before pos; behind it the fold key F
	salt [blockLen]byte         // R of fold.go
	in   [entropyLen]byte       // entropy on its way into the state
}

// An instance is one DRBG, the output that it keeps, and what is known of how long
// both are this process's alone. Its methods are called with its lock held.
type instance struct {
	lock forkLock
	conf *config
	*host

	// The state was seeded under the clone number of this sighting (nil: it is not seeded)
	// and by the order of this id. No byte leaves if the number that is read
	// after the byte was made differs.
	under       *sighting
	seededUnder *sighting // the same, but for a state that is not valid any more
	orderID     uint64
	order       *order // by which kept output may leave at once; nil where it must not

	// alone is a reading of the counter at which the state was this instance's alone:
	// taken before the first byte was drawn of what made it so, or one that
	// itself passed the check against such a reading. g is 0 where there is none.
	alone uint64
	g     uint64
	zero  uint64
	lim   *pauseLimits // nil where the counter is not used

	pos    int          // kept output starts here
	end    int          // keptLen; 0 where none of it may leave as it is
	salted bool         // clones may have the kept output, but not the salt
	folder cipher.Block // AES under F, made at the first fold
	tries  int          // left in this Read
	began  uint64       // a reading since this Read began, for the first salt; or 0
	heir   bool         // takes the place of an instance that a fork left locked

	// On a machine without a random instruction: when the last event was, and which
	// of the reseeds after it comes next; 0 when none does.
	eventAt time.Time
	again   int

	secrets
}

func newInstance(c *config) *instance {
	s := &instance{conf: c, host: c.host, pos: keptLen}
	s.lock.forks = c.host.clones.forks()
	return s
}

// quick serves a small Read from kept output where the two checks are all that is
// to be done. Otherwise it reports false, and b holds nothing of value.
//
// now is a reading of the counter since the Read began. It may be taken before the
// lock, where it overlaps with it: kept output was made before alone was read, so
// that a reading from before the output was made lies before alone, and a
// difference that wrapped around is a pause.
func (s *instance) quick(b []byte, o *order, now uint64) bool {
	if !s.serves(len(b), o, now) {
		return false
	}
	out := s.next(len(b))
	copy(b, out)
	if !s.clones.still(s.under) {
		clear(b)
		return false
	}
	s.used(out, now)
	return true
}

// serves is the pause check, and whether there is enough kept output that may leave
// by the order o.
func (s *instance) serves(n int, o *order, now uint64) bool {
	return n <= maxSmall && wholeBlocks(n) <= s.end-s.pos && s.order == o && s.aloneAt(now)
}

// next is the kept output of which a Read of n bytes is made.
func (s *instance) next(n int) []byte { return s.kept[s.pos : s.pos+wholeBlocks(n)] }

// used erases what has passed both checks.
func (s *instance) used(out []byte, now uint64) {
	clear(out)
	s.pos += len(out)
	s.alone = now
}

// wholeBlocks rounds up: what a block is used for in part is used up.
func wholeBlocks(n int) int { return (n + blockLen - 1) &^ (blockLen - 1) }

// read fills b, or returns an error and leaves b cleared. began is a reading of the
// counter since the Read began, or 0.
func (s *instance) read(b []byte, o *order, began uint64) (err error) {
	defer func() {
		if err != nil {
			clear(b)
		}
	}()
	if len(b) == 0 {
		return nil
	}
	s.began = began
	if began >= s.alone && !s.aloneAt(began) {
		s.g = 0 // no second look; one that went back gets it, see stillAlone
	}
	if o.resist {
		s.under = nil // prediction resistance: seed for this Read
	}
	for s.tries = maxTries; ; {
		if err := s.prepare(o); err != nil {
			return err
		}
		under := s.under // a seeding in the middle of b moves it on, and not what was made before
		made, err := s.make(b, o)
		if err != nil {
			return err
		}
		// The PID is looked at here, too, where there is no wiped page.
		same := s.host.clones.current() == under
		if o.resist {
			s.eraseKept()
		} else {
			s.order = o
		}
		if made && same {
			return nil
		}
		if s.tries--; s.tries <= 0 {
			s.under = nil // nobody knows whose state this is: the next Read starts anew
			return s.overlay(b)
		}
		clear(b)
	}
}

// make fills b from the seeded state. It reports false when it could not do so
// without a pause in maxTries, or saw that this is a clone.
func (s *instance) make(b []byte, o *order) (made bool, err error) {
	switch {
	case len(b) <= maxSmall:
		return s.small(b, o)
	case s.lim == nil:
		return s.largeUnwatched(b, o)
	default:
		return s.large(b, o)
	}
}

// prepare seeds the state if it is not seeded for this clone and this order.
func (s *instance) prepare(o *order) error {
	if s.lim == nil && s.conf.entropy == nil {
		s.lim = s.host.pause.usable()
	}
	if s.under == s.host.clones.current() && s.orderID == o.id && !s.againDue() {
		return nil
	}
	return s.seed(o)
}

// small serves at most maxSmall bytes from kept output.
func (s *instance) small(b []byte, o *order) (made bool, err error) {
	need := wholeBlocks(len(b))
	if keptLen-s.pos < need {
		if err := s.refill(need, o); err != nil {
			return false, err
		}
	}
	out := s.next(len(b))
	if s.conf.entropy != nil {
		copy(b, out) // its owner's stream: nothing is folded in
		made = true
	} else {
		if !s.salted {
			copy(b, out)
			made = s.stillAlone()
		}
		if !made {
			made = s.fold(b, out)
		}
	}
	clear(out)
	s.pos += need
	return made, nil
}

// refill makes new kept output, or under prediction resistance just what this Read
// needs.
func (s *instance) refill(need int, o *order) error {
	if s.salted || s.drbg.reseedCounter > s.conf.interval {
		if err := s.seed(o); err != nil {
			return err
		}
	}
	s.eraseKept()
	s.began = 0
	if o.resist {
		s.pos = keptLen - need
	} else {
		s.pos = 0
	}
	r := s.drbg.begin()
	r.fill(s.kept[s.pos:])
	s.drbg.end(&r)
	if s.lim != nil {
		s.end = keptLen
	}
	return nil
}

// eraseKept erases the kept output, its fold key and its salt. Where only the salt
// was this instance's alone, nothing is when it has gone.
func (s *instance) eraseKept() {
	if s.salted {
		s.g = 0
	}
	clear(s.kept[s.pos:])
	clear(s.salt[:])
	s.pos, s.end = keptLen, 0
	s.salted, s.folder = false, nil
}

// stillAlone reads the counter and says whether nobody can have cloned the state
// since it was known to be alone. If so it is known again.
func (s *instance) stillAlone() bool {
	if s.lim == nil || s.g == 0 {
		return false
	}
	now := s.host.pause.now()
	if now < s.alone {
		// Unfenced readings on two CPUs can cross. A fenced one that still lies before the
		// other means that the counter was set back: a clone, to all generators.
		if now = s.host.pause.nowFenced(); now < s.alone {
			s.host.clones.bump()
			s.g = 0
			return false
		}
	}
	if !s.aloneAt(now) {
		s.g = 0
		return false
	}
	s.alone = now
	return true
}

// aloneAt says whether no pause lies between the reading at which the state was last
// alone and this one. One that went back differs by nearly 2^64, and so does not pass.
func (s *instance) aloneAt(now uint64) bool { return now-s.alone-s.zero < s.g }

// aloneSince notes a reading from which on the state is this instance's alone.
func (s *instance) aloneSince(reading uint64) {
	s.alone, s.g, s.zero = reading, s.lim.g, s.lim.zero
}

// overlay is the last resort: operating-system bytes over whatever is in b, and
// those of the CPU's random instruction.
func (s *instance) overlay(b []byte) error {
	for len(b) > 0 {
		in := s.in[:min(len(b), blockLen)]
		if err := readEntropy(s.host.system, in); err != nil {
			return err
		}
		if x, y, ok := s.draw(); ok {
			xorWords(s.in[:], x, y)
		}
		for i := range in {
			b[i] ^= in[i]
		}
		clear(in)
		b = b[len(in):]
	}
	return nil
}
