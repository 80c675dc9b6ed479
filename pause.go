package rand

import (
	"sync/atomic"
	"time"
)

// To copy a process or a machine somebody has to stop it, read its registers and
// start the copy, and the cycle counter shows the time that this takes. If no
// more than pauseTime has passed between two readings, nothing can have been
// cloned in between. docs/pause.md has the argument.

const (
	// pauseTime is G: the shortest time in which anybody is thought to clone, with a
	// margin. Bare metal, estimated, for a forker built for nothing else: 3 to 7 us.
	pauseTime = 2 * time.Microsecond

	minRate     = 10e6 // ticks per second; a slower counter can not show pauseTime
	maxRate     = 10e9
	zeroRate    = 100e6 // at a higher rate two equal readings are a pause: the counter stood still
	clockError  = 1.25  // what the second span of the measuring may be wrong by, for the clock's coarseness
	maxReadCost = 100 * time.Nanosecond
	minMeasure  = 10 * time.Microsecond // a rate measured over less is not believed
	minCoarse   = time.Second           // nor one over less than this by a clock that moves in steps of up to 15.6 ms

	maxMeasures    = 8  // tries to measure the rate before it is said that it can not be done
	allowanceFolds = 64 // how many folds are timed to find what this machine needs for one
	allowanceTimes = 4
)

// A pauseDetector is the cycle counter and what is known about it.
type pauseDetector struct {
	// limits is nil until the counter was measured: before that it is not used.
	limits atomic.Pointer[pauseLimits]
	since  atomic.Pointer[moment] // the measuring of the rate began here
	tries  atomic.Int32           // and this often again
	coarse atomic.Bool            // the clock is too coarse for a short measuring
	usual  atomic.Bool            // the CPU's own counter was found usable

	// What tests replace; nil stands for the CPU's own counter and for time.Now.
	read, readFenced func() uint64
	clock            func() time.Time
}

// pauseLimits is the outcome of the measuring, in ticks.
type pauseLimits struct {
	why  string // why the counter is not usable; "" where it is
	rate uint64 // ticks per second, rounded down
	g    uint64 // a difference of g or more is a pause
	zero uint64 // 1 where a difference of nothing is a pause, too

	// allowance is what a fold and each of its steps may take: g, or more on a machine
	// (an emulator) that can not draw a salt and encrypt a block in g.
	allowance atomic.Uint64
}

// A moment is a reading of the monotonic clock and one of the counter.
type moment struct {
	clock time.Time
	tick  uint64
}

// packageInit is when the measuring of the real counter begins.
var packageInit = new(pauseDetector).readMoment()

// readMoment reads the clock first. With the clock last at the end of the
// measuring the span of ticks lies inside the span of time, whatever
// interrupts it: the rate comes out too low, never too high.
func (p *pauseDetector) readMoment() *moment {
	m := &moment{clock: p.time()}
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

func newPauseDetector() *pauseDetector {
	p := new(pauseDetector)
	p.since.Store(packageInit)
	return p
}

// now is a reading of the counter. Instructions may be reordered around it.
func (p *pauseDetector) now() uint64 {
	if p.read != nil {
		return p.read()
	}
	return cycles()
}

// peek is now where the counter is used, and else 0: whoever does not know yet
// whether it may be read calls this.
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

// usable returns the limits where the counter can be used, and otherwise nil.
func (p *pauseDetector) usable() *pauseLimits {
	l := p.limits.Load()
	if l == nil {
		l = p.measure()
	}
	if l == nil || l.why != "" {
		return nil
	}
	return l
}

// paused says whether the time between two readings was enough for a clone. A
// counter that went back differs by nearly 2^64, and so has paused.
func (l *pauseLimits) paused(from, to uint64) bool { return to-from-l.zero >= l.g }

// pausedStep is paused for a fold or a step of it.
func (l *pauseLimits) pausedStep(from, to uint64) bool {
	return to-from-l.zero >= l.allowance.Load()
}

// widen sets the allowance to what this machine needs. fold does the work of one
// salt and one block on memory that holds nothing of value.
func (p *pauseDetector) widen(l *pauseLimits, fold func()) {
	best := ^uint64(0)
	for range allowanceFolds {
		start := p.now()
		fold()
		if took := p.now() - start; took > 0 {
			best = min(best, took)
		}
	}
	if best < ^uint64(0)/allowanceTimes {
		l.allowance.Store(max(l.g, allowanceTimes*best))
	}
}
