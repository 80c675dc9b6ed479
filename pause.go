package rand

import (
	"fmt"
	"sync/atomic"
	"time"
)

// Nobody can clone a process or a machine without stopping it, reading its registers
// and starting the copy. That takes time, and the cycle counter shows it. If less than
// pauseTime lies between two readings, nothing was cloned between them.
// docs/pause.md has the argument.
const (
	// pauseTime is G of docs/pause.md. The fastest imaginable cloner, a forker that is
	// built for nothing else, needs an estimated 3 to 7 us on bare metal.
	pauseTime = 2 * time.Microsecond

	// longPause is how long a pause must be for the Read after it to look at the process
	// ID, to advise the fork page again and to compare the counter's rate with the clock.
	longPause = 10 * time.Millisecond

	minRate     = 10e6 // ticks per second; a slower counter cannot show pauseTime
	maxRate     = 10e9
	rateError   = 1.25                  // how far the rate may lie over its upper bound
	rateDrift   = 1.0 / 8               // how far it may drift before it is measured again
	maxReadCost = 200 * time.Nanosecond // of one reading; a trapped one takes longer, an emulated one 50 to 100 ns
	maxStep     = pauseTime / 16        // between two values of the counter

	minMeasure  = 10 * time.Microsecond // a rate measured over less is not believed
	minVerify   = time.Millisecond      // nor is one compared over less
	minCoarse   = time.Second           // nor one over less by a clock that moves in steps, of up to 15.6 ms
	maxMeasures = 8                     // tries to measure the rate until the counter counts as unusable
	maxSetBacks = 100                   // times that the counter was set back, until it counts as unusable

	allowanceMixes = 64 // mixes that are timed to find what this machine needs for one
	allowanceTimes = 4  // so many times the fastest of them are allowed
)

// A pauseDetector is the cycle counter and what is known about it.
type pauseDetector struct {
	// limits is nil until the counter was measured: before that it is not used.
	limits atomic.Pointer[pauseLimits]
	usual  atomic.Bool // the CPU's own counter is usable
	doubt  atomic.Bool // the rate is to be looked at once more, after a long pause

	// One goroutine measures at a time, under a lock that nobody waits for. Where a process goes
	// on under another PID the lock looks left behind by a fork, and may get a second holder. So
	// what follows is atomic. A mixture of what both note only makes the measuring begin again.
	measuring tryLock
	forks     func() uint64 // how many are known; nil in tests
	since     atomicMoment  // the rate is measured from here on
	tries     atomic.Int32  // how often the measuring began again
	coarse    atomic.Bool   // the clock is too coarse for a short measuring
	earlier   atomic.Uint64 // ticks per second over the long span before, if the clock is coarse; 0: there is none yet

	// What tests replace; nil stands for the CPU's own counter and for time.Now.
	read, readFenced func() uint64
	clock            func() time.Time
}

// pauseLimits is the outcome of the measuring, in ticks.
type pauseLimits struct {
	why  string // why the counter is not usable; "" where it is
	rate uint64 // ticks per second, rounded down
	g    uint64 // a difference of g or more is a pause
	zero uint64 // 1 where two equal readings are a pause, too: the counter never showed any

	// stale says that the rate has changed. g is 1 then, so that any difference is a pause:
	// every Read mixes until the rate is measured again.
	stale bool

	// allowance is what a mix and each of its steps may take: g, or more on a machine
	// (an emulator) that cannot draw a salt and encrypt a block in g.
	allowance atomic.Uint64
	widened   atomic.Bool // it was measured; to measure again would change nothing
}

// A moment is a reading of the monotonic clock and one of the counter.
type moment struct {
	clock time.Time
	tick  uint64
}

// An atomicMoment is a moment whose two parts are read and written one by one.
type atomicMoment struct {
	clock atomic.Int64 // nanoseconds since packageInit
	tick  atomic.Uint64
}

func (a *atomicMoment) load() moment {
	return moment{packageInit.clock.Add(time.Duration(a.clock.Load())), a.tick.Load()}
}

func (a *atomicMoment) store(m moment) {
	a.clock.Store(int64(m.clock.Sub(packageInit.clock)))
	a.tick.Store(m.tick)
}

// packageInit is when the measuring of the real counter begins.
var packageInit = new(pauseDetector).readMoment()

// readMoment reads the clock first, and the measuring reads it last at its end. So the
// span of ticks lies inside the span of time. An interruption makes the rate too low,
// never too high.
func (p *pauseDetector) readMoment() moment {
	m := moment{clock: p.time()}
	if ok, _ := p.hasCounter(); ok {
		m.tick = p.now()
	}
	return m
}

func (p *pauseDetector) hasCounter() (ok bool, why string) {
	if p.read != nil {
		return true, ""
	}
	return hasCounter()
}

func (p *pauseDetector) time() time.Time {
	if p.clock != nil {
		return p.clock()
	}
	return time.Now()
}

// now is a reading of the counter. Instructions may be reordered around it.
func (p *pauseDetector) now() uint64 {
	if p.read != nil {
		return p.read()
	}
	return cycles()
}

// peek is now where the counter is known to be usable, and else 0.
func (p *pauseDetector) peek() uint64 {
	if p.usual.Load() {
		return cycles()
	}
	if l := p.limits.Load(); l != nil && l.why == "" {
		return p.now()
	}
	return 0
}

// nowFenced is a reading after everything before it.
func (p *pauseDetector) nowFenced() uint64 {
	if p.readFenced != nil {
		return p.readFenced()
	}
	return cyclesFenced()
}

// usable returns the limits where the counter is usable, and otherwise nil.
func (p *pauseDetector) usable() *pauseLimits {
	l := p.limits.Load()
	if l != nil && !l.stale && l.why == "" {
		return l
	}
	if (l == nil || l.stale) && p.startMeasuring() {
		if measured := p.measure(l); measured != nil {
			l = measured
		}
		p.measuring.unlock()
	}
	if l == nil || l.why != "" {
		return nil
	}
	return l
}

// startMeasuring reports whether the lock was taken.
func (p *pauseDetector) startMeasuring() bool {
	if p.forks == nil {
		return p.measuring.tryLock()
	}
	return p.measuring.tryLockAfter(p.forks())
}

// paused reports whether the time between two readings was enough for a clone. A
// counter that went back differs by nearly 2^64, and so has paused.
func (l *pauseLimits) paused(from, to uint64) bool { return to-from-l.zero >= l.g }

// long reports whether a pause of so many ticks is longPause or longer.
func (l *pauseLimits) long(ticks uint64) bool { return ticks/uint64(longPause/pauseTime) >= l.g }

// distrust ends the use of a counter that went back too often. The counters of the CPUs
// differ, and to move to one that lies behind hides a pause.
func (p *pauseDetector) distrust() {
	p.limits.Store(&pauseLimits{why: fmt.Sprintf("the counter went back %d times: it may differ between CPUs", maxSetBacks)})
	p.usual.Store(false)
}

// widen sets the allowance to what this machine needs. mix does the work of one salt
// and one block on memory that holds nothing of value.
func (p *pauseDetector) widen(l *pauseLimits, mix func()) {
	if !l.widened.CompareAndSwap(false, true) {
		return
	}
	best := ^uint64(0)
	for range allowanceMixes {
		start := p.now()
		mix()
		if took := p.now() - start; took > 0 {
			best = min(best, took)
		}
	}
	if best < ^uint64(0)/allowanceTimes {
		l.allowance.Store(max(l.g, allowanceTimes*best))
	}
}
