package rand

import (
	"fmt"
	"os"
	"time"
)

// measure finds the limits, or returns nil when it is too early to tell.
func (p *pauseDetector) measure() *pauseLimits {
	l := new(pauseLimits)
	if os.Getenv("CLONERAND_COUNTER") == "off" {
		l.why = "switched off by CLONERAND_COUNTER=off"
	} else if ok, why := p.hasCounter(); !ok {
		l.why = why
	} else if l = p.measureRate(); l == nil {
		return nil
	} else if l.why != "" && p.tries.Add(1) < maxMeasures {
		// The clock and the counter disagree, as after a hibernation that only one of
		// them counts: begin again from here.
		p.since.Store(p.readMoment())
		return nil
	}
	if p.limits.CompareAndSwap(nil, l) && l.why == "" && p.read == nil {
		p.usual.Store(true)
	}
	return p.limits.Load()
}

// measureRate returns limits by the rate since the measuring began; why says
// what keeps them from being used. It returns nil when it is too early to tell.
func (p *pauseDetector) measureRate() *pauseLimits {
	begun := p.since.Load()
	if span := p.time().Sub(begun.clock); span < minMeasure || span < minCoarse && p.coarse.Load() {
		return nil
	}
	// A second span, of ticks around time, bounds the rate from above. A clock that stood
	// still in one of two is coarse: it moves in steps, of up to 15.6 ms on Windows.
	coarse, bound, cost, moves := false, 0.0, 0.0, false
	for range 2 {
		early := p.now()
		start := p.time()
		cost, moves = p.readCost()
		end := p.time()
		late := p.now()
		coarse = coarse || end.Equal(start)
		bound = max(bound, perSecond(late-early, end.Sub(start)))
	}
	tick := p.now()
	clock := p.time()
	span := clock.Sub(begun.clock)
	if coarse && span < minCoarse {
		p.coarse.Store(true)
		return nil
	}
	l := new(pauseLimits)
	rate := perSecond(tick-begun.tick, span)
	switch perRead := time.Duration(cost / rate * 1e9); {
	case !moves:
		l.why = "the counter stands still"
	case tick <= begun.tick, rate > clockError*bound:
		l.why = "the counter and the clock disagree"
	case rate < minRate, rate > maxRate:
		l.why = fmt.Sprintf("the counter's rate is %.0f Hz, outside of 10 MHz to 10 GHz", rate)
	case perRead >= maxReadCost:
		l.why = fmt.Sprintf("one reading of the counter takes %v, so it is trapped", perRead)
	}
	l.setRate(rate)
	return l
}

func (l *pauseLimits) setRate(rate float64) {
	l.rate = uint64(rate)
	l.g = uint64(rate * pauseTime.Seconds())
	if rate > zeroRate {
		l.zero = 1
	}
	l.allowance.Store(l.g)
}

func perSecond(ticks uint64, t time.Duration) float64 {
	return float64(ticks) / max(t, 1).Seconds()
}

// readCost is what one of 32 readings takes, in ticks, best of eight tries, since
// one preemption must not decide; and whether the counter moves.
func (p *pauseDetector) readCost() (ticks float64, moves bool) {
	const readings = 32
	best := ^uint64(0)
	for range 8 {
		first := p.now()
		for range readings - 2 {
			p.now()
		}
		if last := p.now(); last > first {
			best, moves = min(best, last-first), true
		}
	}
	return float64(best) / readings, moves
}
