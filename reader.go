package rand

import (
	"runtime"
	"sync/atomic"
	"unsafe"
)

// reader is the default generator: as many instances as it takes for goroutines on
// all CPUs to find one that is free. The zero value is ready for use.
type reader struct {
	order atomic.Pointer[order]
	fleet atomic.Pointer[fleet]
}

// A fleet is the instances of a reader; each is made when it is first needed.
type fleet struct {
	conf   *config
	clones *cloneWatch
	pause  *pauseDetector
	shards []atomic.Pointer[instance] // a power of two of them
}

func newFleet(c *config) *fleet {
	n := 16
	for n < 2*runtime.NumCPU() {
		n *= 2
	}
	return &fleet{conf: c, clones: c.host.clones, pause: c.host.pause, shards: make([]atomic.Pointer[instance], n)}
}

var defaultReader = new(reader)

// Read fills b. It returns an error only where the operating system's generator
// fails, which crypto/rand documents not to happen; b is then cleared.
func (r *reader) Read(b []byte) (n int, err error) { return r.serve(b, false) }

// serve is Read, and with must it crashes the program where Read returns an error. A
// nil reader stands for the one that Reader was replaced by.
//
// It holds what peek and quick hold, since to call them would be 6 % of a small Read.
func (r *reader) serve(b []byte, must bool) (n int, err error) {
	if r == nil {
		return readReplaced(b)
	}
	o, f := r.order.Load(), r.fleet.Load()
	if o == nil || f == nil {
		o, f = r.start()
	}
	// Goroutines are told apart by where their stacks are: 2 KiB is the smallest. The
	// address is a number here, and nothing is read through it.
	var here byte
	home := uint64(uintptr(unsafe.Pointer(&here))) >> 11 * 0x9E3779B97F4A7C15 >> 32
	s := f.shards[home&uint64(len(f.shards)-1)].Load()
	var now uint64
	if f.pause.usual.Load() {
		now = cycles()
	} else {
		now = f.pause.peek()
	}
	if s == nil || !s.lock.tryLock(f.clones) {
		s = f.acquire(home)
		now = f.pause.peek() // to wait for a lock may take long enough for a clone
	}
	if s.serves(len(b), o, now) {
		out := s.next(len(b))
		copy(b, out)
		if s.clones.still(s.under) {
			s.used(out, now)
			s.lock.unlock()
			return len(b), nil
		}
		clear(b)
	}
	err = s.read(b, o, now)
	s.lock.unlock()
	if err != nil {
		if must {
			crash(err)
		}
		return 0, err
	}
	return len(b), nil
}

// start makes what a reader needs, at first use. It has no lock: of two that start
// at once one wins.
func (r *reader) start() (*order, *fleet) {
	if r.fleet.Load() == nil {
		r.fleet.CompareAndSwap(nil, newFleet(&config{host: thisHost(), interval: defaultReseedInterval}))
	}
	r.order.CompareAndSwap(nil, &order{id: 1})
	return r.order.Load(), r.fleet.Load()
}

// acquire returns an instance with its lock held: the home shard if it is there and
// free, or else the next.
func (f *fleet) acquire(home uint64) *instance {
	for try := 0; ; try++ {
		forks := f.clones.current().forks
		for i := range f.shards {
			slot := &f.shards[(home+uint64(i))&uint64(len(f.shards)-1)]
			s := slot.Load()
			if s == nil {
				slot.CompareAndSwap(nil, newInstance(f.conf))
				s = slot.Load()
			}
			if s.lock.tryLock(f.clones) {
				return s
			}
			if s.lock.abandoned(forks) {
				// Taken at once: where all are abandoned, to wait for another turn would be to wait
				// for the scheduler, which a forked child may not have.
				heir := s.makeHeir()
				heir.lock.tryLock(f.clones)
				if slot.CompareAndSwap(s, heir) {
					return heir
				}
			}
		}
		backOff(try)
	}
}
