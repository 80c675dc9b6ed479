package rand

import "sync/atomic"

// A cloneWatch answers with one number whether this is still the same instance. The
// number moves on when any detector differs from what it said last. It is a count and
// not a sum of what they say, so that two changes cannot cancel each other.
//
// A cloneWatch has no lock that a fork could leave behind: what was last seen is one
// immutable generation behind a pointer, and whoever finds it outdated swaps in the next.
type cloneWatch struct {
	last atomic.Pointer[generation]
	arms atomic.Uint64 // how often the fork page was armed

	hooks cloneHooks // of OnClone

	// What to watch, fixed before the first use. Tests name memory of their own.
	forkPage   func() (page *uint64, why string)
	wipeOnFork func(page *uint64) (why string) // advises the page again
	identity   func() int                      // the process ID; 0 where a process cannot fork
	signals    []func() signal
}

// watchAll watches everything that this system has.
func (w *cloneWatch) watchAll() {
	w.forkPage, w.wipeOnFork, w.identity, w.signals = mapForkPage, wipeOnFork, processID, signals[:]
}

// A generation is what the detectors said at one time, and the number since.
type generation struct {
	number uint64 // starts at 1 and only grows
	forks  uint64 // how many of its steps were forks
	clones uint64 // how many of its steps a signal told as clones; a step may be both

	setBacks  uint64 // how many of its steps were counters that were set back
	setBackTo uint64 // the reading that showed the last of them

	words []word // compared at every look; the fork page is the first, where there is one

	page    *uint64
	doubt   *atomic.Pointer[string] // of pageWhy; all generations share it, since no doubt is an event
	pid     int
	signals []signal
}

// pageWhy says why there is no page, or why it is not trusted alone. It is "" where it is.
func (g *generation) pageWhy() string { return *g.doubt.Load() }

// A word is watched memory and what it held.
type word struct {
	at    *uint64
	held  uint64
	clone bool // a change says that the machine was cloned
}

// still reports whether g is the latest generation and no watched word has changed. It
// may say no without a reason.
func (w *cloneWatch) still(g *generation) bool { return w.last.Load() == g && g.holds() }

// holds compares each watched word with what it held.
func (g *generation) holds() bool {
	for i := range g.words {
		if atomic.LoadUint64(g.words[i].at) != g.words[i].held {
			return false
		}
	}
	return true
}

// poll returns the number, and sees a fork on every system that can fork: where no page
// is trusted to be wiped it asks for the process ID. That is a system call. The fast path
// uses still instead: it knows from the cycle counter that there was no time for a fork.
func (w *cloneWatch) poll() uint64 { return w.current().number }

// pollID looks at the process ID although there is a page.
func (w *cloneWatch) pollID() {
	if g := w.last.Load(); g == nil || g.pid != w.identity() {
		w.look()
	}
}

// current is the generation behind the number of poll. There is one for each number.
func (w *cloneWatch) current() *generation {
	g := w.last.Load()
	if g == nil || g.pageWhy() != "" && g.pid != w.identity() || !g.holds() {
		w.look()
		g = w.last.Load()
	}
	return g
}

// forks counts the forks that were noticed. It does not look for new ones.
func (w *cloneWatch) forks() uint64 {
	if g := w.last.Load(); g != nil {
		return g.forks
	}
	return 0
}

// setBack moves the number because the counter was set back to now, which need not be a
// clone. It returns how often that has happened.
func (w *cloneWatch) setBack(now uint64) (times uint64) {
	g := w.look()
	next := *g
	next.number++
	next.setBacks++
	next.setBackTo = now
	if w.last.CompareAndSwap(g, &next) { // or else somebody else has moved it
		w.hooks.tell(next.number)
	}
	return next.setBacks
}

// recheck looks at what a restore may have changed unseen. It compares the process ID,
// though there is a page. It advises the page again, since checkpoint tools (CRIU before
// 4.2) restore it without its advice. Where that fails each poll looks at the process ID
// from then on.
func (w *cloneWatch) recheck() {
	w.pollID()
	g := w.last.Load()
	if g.page == nil || w.wipeOnFork == nil {
		return
	}
	if why := w.wipeOnFork(g.page); why != g.pageWhy() {
		doubt := why // a copy, or each look would allocate
		g.doubt.Store(&doubt)
	}
}

// look asks every detector and returns the latest generation. When several goroutines
// see the same change, one of them moves the number.
func (w *cloneWatch) look() *generation {
	for {
		g := w.last.Load()
		if g == nil {
			w.last.CompareAndSwap(nil, w.first())
			continue
		}
		if g.holds() && g.pid == w.identity() {
			return g
		}
		next, same := w.next(g)
		if same {
			return g
		}
		if w.last.CompareAndSwap(g, next) {
			w.hooks.tell(next.number)
			return next
		}
	}
}

// first finds the detectors.
func (w *cloneWatch) first() *generation {
	room := new(struct { // in one piece
		generation
		words   [1 + 2*len(signals)]word
		signals [len(signals)]signal
		doubt   atomic.Pointer[string]
		why     string
	})
	g := &room.generation
	*g = generation{number: 1, words: room.words[:0], doubt: &room.doubt, pid: w.identity(), signals: room.signals[:0]}
	g.page, room.why = w.forkPage()
	g.doubt.Store(&room.why)
	if g.page != nil {
		armed := w.arms.Add(1)
		atomic.StoreUint64(g.page, armed)
		g.words = append(g.words, word{at: g.page, held: armed})
	}
	for _, open := range w.signals {
		sig := open()
		for _, i := range sig.watch {
			g.words = append(g.words, word{&sig.memory[i], atomic.LoadUint64(&sig.memory[i]), true})
		}
		for _, i := range sig.hints {
			g.words = append(g.words, word{&sig.memory[i], atomic.LoadUint64(&sig.memory[i]), false})
		}
		g.signals = append(g.signals, sig)
	}
	return g
}

// next is the generation that follows g, if anything differs from it. A fork and a
// signal between two looks are one step, and both are counted.
func (w *cloneWatch) next(g *generation) (next *generation, same bool) {
	n := *g
	n.words = make([]word, len(g.words))
	forked, cloned, changed := false, false, false
	for i, old := range g.words {
		now := atomic.LoadUint64(old.at)
		// A wiped page is armed before the next generation is swapped in, with a value that
		// it never held. So whoever holds an older generation sees the fork, too, and a page
		// that is armed late hides no later fork.
		for old.at == g.page && now == 0 {
			atomic.CompareAndSwapUint64(g.page, 0, w.arms.Add(1))
			now = atomic.LoadUint64(g.page)
		}
		n.words[i] = word{old.at, now, old.clone}
		if now != old.held {
			changed = true
			forked = forked || old.at == g.page
			cloned = cloned || old.clone
		}
	}
	if n.pid = w.identity(); n.pid != g.pid {
		changed, forked = true, true
	}
	n.number++
	if forked {
		n.forks++
	}
	if cloned {
		n.clones++
	}
	return &n, !changed
}
