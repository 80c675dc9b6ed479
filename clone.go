package rand

import (
	"sync/atomic"
)

// cloneWatch answers with one number whether this is still the same instance: the
// clone number moves on when any detector differs from what it last said. It
// is a count and not a sum of what they say, so that two changes can not
// cancel each other.
//
// It has no lock that a fork could leave behind: what was last seen is one
// immutable sighting behind a pointer, and who finds it outdated swaps in the next.
type cloneWatch struct {
	last atomic.Pointer[sighting]
	arms atomic.Uint64

	// What to watch, fixed before the first use. Tests name memory of their own.
	forkPage func() (page *uint64, why string)
	identity func() int // the process ID, 0 where a process can not fork
	signals  []func() signal
}

// newCloneWatch watches everything that this system has.
func newCloneWatch() *cloneWatch {
	return &cloneWatch{forkPage: mapForkPage, identity: processID, signals: signals[:]}
}

// A sighting is what the detectors said at one time, and the clone number since.
type sighting struct {
	number uint64 // starts at 1 and only grows
	forks  uint64 // how many of its steps were forks
	words  []word // compared at every look; the fork page is the first, where there is one

	page    *uint64
	pageWhy string // why there is no page
	pid     int
	signals []signal
}

// A word is watched memory and what it held.
type word struct {
	at   *uint64
	held uint64
}

// number is the clone number. Where a wiped page stands for the PID it costs a load
// and a comparison for each watched word. Without such a page it can not see a
// fork: see poll.
func (w *cloneWatch) number() uint64 {
	s := w.last.Load()
	if s == nil || !s.holds() {
		return w.look().number
	}
	return s.number
}

// still says whether s is the latest sighting and its number the clone number. It may
// say no without a reason.
func (w *cloneWatch) still(s *sighting) bool { return w.last.Load() == s && s.holds() }

// holds compares each watched word with what it held.
func (s *sighting) holds() bool {
	for _, w := range s.words {
		if atomic.LoadUint64(w.at) != w.held {
			return false
		}
	}
	return true
}

// poll is number, and sees a fork on every system that can fork: where the kernel
// wipes no page it asks for the PID. That is a system call, so whoever knows
// from the cycle counter that no time for a fork has passed uses number.
func (w *cloneWatch) poll() uint64 {
	s := w.last.Load()
	if s == nil || s.page == nil && s.pid != w.identity() {
		return w.look().number
	}
	return w.number()
}

// current is the sighting behind the number of poll. There is one for each number.
func (w *cloneWatch) current() *sighting {
	w.poll()
	return w.last.Load()
}

// forks counts the forks that were noticed. It does not look for new ones.
func (w *cloneWatch) forks() uint64 {
	if s := w.last.Load(); s != nil {
		return s.forks
	}
	return 0
}

// events counts the steps of the number that were no forks.
func (s *sighting) events() uint64 { return s.number - s.forks }

// bump moves the clone number for a reason that no detector knows.
func (w *cloneWatch) bump() {
	s := w.look()
	next := *s
	next.number++
	w.last.CompareAndSwap(s, &next) // where this fails somebody else has moved it
}

// look asks every detector and returns the latest sighting. When several
// goroutines see the same change, one of them moves the number.
func (w *cloneWatch) look() *sighting {
	for {
		s := w.last.Load()
		if s == nil {
			w.last.CompareAndSwap(nil, w.first())
			continue
		}
		next, same := w.next(s)
		if same {
			return s
		}
		if w.last.CompareAndSwap(s, next) {
			return next
		}
	}
}

// first finds the detectors.
func (w *cloneWatch) first() *sighting {
	s := &sighting{number: 1, pid: w.identity()}
	s.page, s.pageWhy = w.forkPage()
	if s.page != nil {
		armed := w.arms.Add(1)
		atomic.StoreUint64(s.page, armed)
		s.words = append(s.words, word{s.page, armed})
	}
	for _, open := range w.signals {
		sig := open()
		for _, i := range sig.watch {
			s.words = append(s.words, word{&sig.memory[i], atomic.LoadUint64(&sig.memory[i])})
		}
		s.signals = append(s.signals, sig)
	}
	return s
}

// next is the sighting that follows s, if anything differs from it.
func (w *cloneWatch) next(s *sighting) (next *sighting, same bool) {
	n := *s
	n.number++
	same = true
	n.words = make([]word, len(s.words))
	forked := false
	for i, old := range s.words {
		n.words[i] = word{old.at, atomic.LoadUint64(old.at)}
		// A wiped page is armed again before the sighting that expects it is there: with a
		// value that never was there, so that whoever still holds an older sighting sees
		// the fork too, and one who is late with this hides no later fork.
		for old.at == s.page && n.words[i].held == 0 {
			atomic.CompareAndSwapUint64(s.page, 0, w.arms.Add(1))
			n.words[i].held = atomic.LoadUint64(s.page)
		}
		if n.words[i].held != old.held {
			same = false
			forked = forked || old.at == s.page
		}
	}
	if n.pid = w.identity(); n.pid != s.pid {
		same, forked = false, true
	}
	if forked {
		n.forks++
	}
	return &n, same
}
