package rand

import (
	"runtime"
	"sync/atomic"
	"unsafe"
)

// A pool is the states that Reads are served from: some for the default Reader, so that
// goroutines on all CPUs find one that is free, and one for a Generator.
//
// The states belong to a number of forks. A forked child makes states of its own: those
// of the parent may be locked for ever, half changed, or wiped.
type pool struct {
	epoch  atomic.Pointer[epoch]
	shards atomic.Pointer[shards]
}

// shards is the states of a pool; each is made when it is first needed.
type shards struct {
	conf   *config
	clones *cloneWatch
	pause  *pauseDetector
	forks  uint64                  // how many were known when it was made
	states []atomic.Pointer[state] // a power of two of them
}

func newShards(c *config, forks uint64, n int) *shards {
	return &shards{c, c.host.clones, c.host.pause, forks, make([]atomic.Pointer[state], n)}
}

// start makes the states of the default Reader, unless they are there. It has no lock:
// of two that start at once one wins.
func (p *pool) start() {
	if p.shards.Load() != nil {
		return
	}
	n := 16
	for n < 2*runtime.NumCPU() {
		n *= 2
	}
	c := newConfig(thisHost)
	c.lasting = true
	p.set(c, &epoch{id: 1}, n)
}

// set makes n states of c the pool's, in its first epoch.
func (p *pool) set(c *config, first *epoch, n int) {
	p.epoch.CompareAndSwap(nil, first)
	p.shards.CompareAndSwap(nil, newShards(c, c.forks, n))
}

// read fills b and returns len(b), or returns an error and leaves b cleared; with must it
// crashes the program instead. A nil pool stands for the Reader that took the place of
// the default one.
func (p *pool) read(b []byte, must bool) (n int, err error) {
	if p == nil {
		return readReplaced(b)
	}
	e, sh := p.epoch.Load(), p.shards.Load()
	if sh == nil {
		p.start()
		e, sh = p.epoch.Load(), p.shards.Load()
	}
	// Goroutines are told apart by the addresses of their stacks, of which the smallest has
	// 2 KiB. The address is a number here, and nothing is read through it.
	var here byte
	home := uint64(uintptr(unsafe.Pointer(&here))) >> 11 * 0x9E3779B97F4A7C15 >> 32
	s := sh.states[home&uint64(len(sh.states)-1)].Load()
	var now uint64
	if sh.pause.usual.Load() {
		now = cycles()
	} else {
		now = sh.pause.peek()
	}
	if s == nil || !s.lock.tryLock() {
		s = p.acquire(home)
		now = sh.pause.peek() // to wait for a lock may take long enough for a clone
	}
	if !s.serves(len(b), e, now) {
		return p.readFrom(s, b, now, must)
	}
	s.window.last = now
	if len(b) > maxShort {
		if s.hand(b) {
			return len(b), nil
		}
	} else {
		// The copy is made outside of the lock, in case b cannot be written to. So is the
		// look at the generation, in case the file of a signal cannot be read.
		var room [maxShort]byte
		s.buffer.takeShort(&room, len(b))
		g := s.generation
		s.lock.unlock()
		runtime.KeepAlive(s)
		ok := sh.clones.still(g)
		switch {
		case !ok:
		case len(b) == blockLen: // without the call that copy is
			*(*[blockLen]byte)(b) = [blockLen]byte(room[:])
		default:
			copy(b, room[:])
		}
		clear(room[:])
		if ok {
			return len(b), nil
		}
	}
	return p.readFrom(p.acquire(home), b, 0, must) // an event
}

// readFrom is read from a state that is locked. However it ends, it gives the lock back (or
// leaves the state), and b is cleared unless it was filled.
func (p *pool) readFrom(s *state, b []byte, now uint64, must bool) (n int, err error) {
	done, left := false, false
	defer func() {
		switch { // first, since b may fault again
		case left:
		case s.forks != s.host.clones.forks(): // a fork was seen in the middle: nobody else would give it back
			s.leave()
		default:
			s.release()
		}
		if !done {
			clear(b)
		}
	}()
	if s.forks != s.host.clones.current().forks {
		s.leave()
		done, left = true, true // that Read clears b itself
		return p.read(b, must)  // by a state of these forks
	}
	e := p.epoch.Load()
	if e.closed {
		s.close()
		return 0, errClosed()
	}
	if err := s.read(b, e, now); err != nil {
		if must {
			crash(err)
		}
		return 0, err
	}
	done = true
	return len(b), nil
}

// acquire returns a state with its lock held: the home shard if it is free, or else the
// next that is. It waits for goroutines of this process, and never for those of the
// parent before a fork.
func (p *pool) acquire(home uint64) *state {
	for try := 0; ; try++ {
		sh := p.current()
		for i := range sh.states {
			slot := &sh.states[(home+uint64(i))&uint64(len(sh.states)-1)]
			s := slot.Load()
			if s == nil {
				made := newState(sh.conf, sh.forks)
				if !slot.CompareAndSwap(nil, made) {
					made.loan.end() // nobody else knows it
				}
				s = slot.Load()
			}
			if s.lock.tryLock() {
				return s
			}
		}
		sh.clones.pollID() // whoever holds the lock may have been left behind by a fork that no page shows
		backOff(try)
	}
}

// current returns the states for the forks so far. It looks for new forks first.
func (p *pool) current() *shards {
	for {
		sh := p.shards.Load()
		forks := sh.clones.current().forks
		if sh.forks >= forks {
			return sh
		}
		if p.shards.CompareAndSwap(sh, newShards(sh.conf, forks, len(sh.states))) {
			sh.retire()
		}
	}
}

// retire wipes the states from before a fork and gives their memory back: in a child no
// collection may ever end. It leaves locked states alone: their holders may live, and be
// in the middle of a seeding.
func (sh *shards) retire() {
	for i := range sh.states {
		if s := sh.states[i].Load(); s != nil && s.lock.tryLock() {
			s.leave()
		}
	}
}
