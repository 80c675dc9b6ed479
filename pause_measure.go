package rand

import (
	"fmt"
	"time"
)

// measure finds the limits that follow old, or returns nil when it is too early to tell.
func (p *pauseDetector) measure(old *pauseLimits) *pauseLimits {
	var l *pauseLimits
	if v := setting("CLONERAND_COUNTER"); v != "" && v != "on" { // OFF, 0 and no mean the same
		l = &pauseLimits{why: "switched off by CLONERAND_COUNTER=" + v}
	} else if ok, why := p.hasCounter(); !ok {
		l = &pauseLimits{why: why}
	} else if l = p.measureRate(); l == nil {
		return nil
	} else if l.why != "" && p.tries.Load() < maxMeasures-1 {
		// The clock and the counter disagree, as after a hibernation that only one of
		// them counts: begin again from here.
		p.since.store(p.readMoment())
		p.tries.Add(1)
		return nil
	}
	if p.limits.CompareAndSwap(old, l) && p.read == nil {
		p.usual.Store(l.why == "")
	}
	return p.limits.Load()
}

// await waits until the measuring has ended, but not for ever.
func (p *pauseDetector) await() {
	for start := time.Now(); time.Since(start) < 3*minCoarse; time.Sleep(minMeasure) {
		p.usable()
		if l := p.limits.Load(); l != nil && !l.stale {
			return
		}
	}
}

// measureRate returns limits by the rate since the measuring began; why says what
// keeps them from being used. It returns nil when it is too early to tell.
func (p *pauseDetector) measureRate() *pauseLimits {
	begun := p.since.load()
	switch span := p.time().Sub(begun.clock); {
	case span < 0: // a checkpoint has moved to a machine that was started later
		p.since.store(p.readMoment())
		return nil
	case span < minMeasure, span < minCoarse && p.coarse.Load():
		return nil
	}
	// Spans of ticks around spans of time bound the rate from above. The lowest bound
	// counts: no stall fell into that one. The time is known to a step of the clock. A clock
	// whose steps are too long to wait for, of up to 15.6 ms on Windows, bounds nothing so.
	// Then the rate is measured over two long spans, and each bounds the other.
	step := p.clockStep()
	const unbounded = maxRate * rateError
	coarse, bound := step == 0, unbounded
	var found readings
	for range 4 {
		early := p.now()
		start := p.time()
		found.measure(p)
		end := p.time()
		for try := 0; !coarse && try < 64 && end.Sub(start) < 16*step; try++ {
			found.measure(p)
			end = p.time()
		}
		late := p.now()
		if span := end.Sub(start) - step; !coarse && span > 0 {
			bound = min(bound, perSecond(late-early, span))
		}
	}
	tick := p.now()
	clock := p.time()
	span := clock.Sub(begun.clock)
	rate := perSecond(tick-begun.tick, span)
	if bound == unbounded {
		p.coarse.Store(true)
		if span < minCoarse {
			return nil
		}
		earlier := p.earlier.Load()
		if earlier == 0 {
			p.earlier.Store(uint64(max(rate, 1)))
			p.since.store(moment{clock, tick})
			return nil
		}
		bound = float64(earlier)
	}
	p.earlier.Store(0)
	l := new(pauseLimits)
	switch perRead := time.Duration(found.cost / rate * 1e9); {
	case !found.moves:
		l.why = "the counter stands still"
	case tick <= begun.tick, rate > rateError*bound:
		l.why = "the counter and the clock disagree"
	case rate < minRate, rate > maxRate:
		l.why = fmt.Sprintf("the counter's rate is %.0f Hz, outside of 10 MHz to 10 GHz", rate)
	case perRead >= maxReadCost:
		l.why = fmt.Sprintf("one reading of the counter takes %v, so it is trapped", perRead)
	case found.equal && float64(found.step) > rate*maxStep.Seconds(): // else a step is no longer than a reading
		l.why = fmt.Sprintf("the counter moves in steps of %d ticks, more than %v", found.step, maxStep)
	}
	l.setRate(min(rate, bound))
	if !found.equal {
		l.zero = 1
	}
	return l
}

// clockStep is the least that the clock is seen to move by, or 0 where that takes long.
func (p *pauseDetector) clockStep() (least time.Duration) {
	last := p.time()
	for found, looks := 0, 0; found < 4 && looks < 64; looks++ {
		p.now() // takes its time
		now := p.time()
		if step := now.Sub(last); step > 0 {
			if found++; least == 0 || step < least {
				least = step
			}
			last = now
		}
	}
	return least
}

func (l *pauseLimits) setRate(rate float64) {
	l.rate = uint64(rate)
	l.g = uint64(rate * pauseTime.Seconds())
	l.allowance.Store(l.g)
}

func perSecond(ticks uint64, t time.Duration) float64 {
	return float64(ticks) / max(t, 1).Seconds()
}

// readings is what reading the counter again and again has shown.
type readings struct {
	cost  float64 // of one, in ticks: the best of several rounds, since one preemption must not decide
	moves bool
	equal bool   // two in a row were
	step  uint64 // the least difference of two that were not equal; the time of a reading is in it
}

func (r *readings) measure(p *pauseDetector) {
	const each = 32
	first := p.now()
	last := first
	for range each - 1 {
		now := p.now()
		switch step := now - last; {
		case step == 0:
			r.equal = true
		case r.step == 0 || step < r.step:
			r.step = step
		}
		last = now
	}
	if cost := float64(last-first) / each; last > first && (!r.moves || cost < r.cost) {
		r.cost, r.moves = cost, true
	}
}

// verify compares the counter's rate with the clock since the last time, after a long
// pause and once more a little later. Where they disagree (a checkpoint was moved to
// another CPU, or one of the two did not count a suspension) the rate is measured again.
func (p *pauseDetector) verify(long bool) {
	if long {
		p.doubt.Store(true)
	}
	l := p.limits.Load()
	if l == nil || l.why != "" || l.stale || !p.startMeasuring() {
		return
	}
	defer p.measuring.unlock()
	now, last := moment{clock: p.time()}, p.since.load()
	now.tick = p.now()
	span, least := now.clock.Sub(last.clock), minVerify
	if p.coarse.Load() {
		least = minCoarse
	}
	// Over a short time the clock does not tell the rate. But a counter that went back, or
	// further than it can in the least span, has another.
	if span < least && float64(now.tick-last.tick) < least.Seconds()*float64(l.rate)*(1+rateDrift) {
		return
	}
	p.since.store(now)
	if !long {
		p.doubt.Store(false)
	}
	rate := perSecond(now.tick-last.tick, span) / float64(l.rate)
	if rate > 1-rateDrift && rate < 1+rateDrift {
		return
	}
	stale := &pauseLimits{rate: l.rate, g: 1, zero: l.zero, stale: true}
	stale.allowance.Store(l.allowance.Load())
	if p.limits.CompareAndSwap(l, stale) {
		p.tries.Store(0)
	}
}
