package rand

import (
	"testing"
	"testing/synctest"
	"time"
)

// A checkpoint of a 1 GHz machine goes on at 25 MHz. The window that the first Read
// opens must not keep the old limit.
func TestNoWindowKeepsALimitOfBefore(t *testing.T) { movedToAnotherCPU(t, false) }

// The same where the pause was counted by the old machine. The first look at the rate
// cannot show anything, and there is no second one.
func TestARateThatChangesAfterALook(t *testing.T) { movedToAnotherCPU(t, true) }

func movedToAnotherCPU(t *testing.T, late bool) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(0)
		r := newPool(w.host(), 1)
		readN(t, r, 16)
		exhaust(t, r)
		readN(t, r, 16)
		w.clock()
		if late {
			w.counter += 25e6 // 25 ms of the old machine
			w.clock()
			w.rate, w.step = 25e6, 1
		} else {
			w.rate, w.step = 25e6, 1
			w.counter += 25e6 // a second
		}
		r.conf().host.clones.bump() // and a signal told it
		readN(t, r, 16)
		for range 2000 { // 1.2 us between two Reads
			w.counter += 30
			readN(t, r, 16)
			if l := r.conf().host.pause.limits.Load(); l.g < 100 && !l.stale {
				break // measured
			}
		}
		l := r.conf().host.pause.limits.Load()
		t.Logf("limits now: g %d, rate %d, stale %v, why %q; the window's limit is %d, open %v, mixing %v",
			l.g, l.rate, l.stale, l.why, r.shard(0).window.limit, r.shard(0).window.open(), r.shard(0).buffer.mixing)
		var clones [2][]byte
		for i := range clones {
			w := w.clone()
			w.counter += 1750 // 70 us
			w.cpu = streamOf("cpu", uint64(i)+1)
			w.system = streamOf("system", uint64(i)+1)
			c := cloneReader(r, w)
			clones[i] = append(readN(t, c, 16), readN(t, c, 16)...)
		}
		if n := equalBlocks(clones[0], clones[1]); n != 0 {
			t.Errorf("a pause is not seen: %d blocks are equal", n)
		}
	})
}

// A pause of 10 ms is common. On a clock that moves in steps it must not make the
// limits stale.
func TestACoarseClockDoesNotMakeTheLimitsStale(t *testing.T) {
	for _, coarse := range []time.Duration{0, time.Millisecond, 15625 * time.Microsecond} {
		b := &bench{rate: 1e9, cost: 10, look: 30, coarse: coarse}
		p := b.detector()
		for try := 0; try < 10_000 && p.usable() == nil; try++ {
			b.elapsed += 777 * time.Microsecond
		}
		if p.usable() == nil {
			t.Fatal("not usable")
		}
		stale, unusable := 0, 0
		for range 1000 {
			b.elapsed += 12 * time.Millisecond
			p.verify(true)
			if p.limits.Load().stale {
				stale++
			}
			p.usable()
			if p.limits.Load().why != "" {
				unusable++
			}
		}
		if stale > 0 || unusable > 0 {
			t.Errorf("clock in steps of %v: after %d of 1000 pauses the limits are stale, after %d the counter is unusable", coarse, stale, unusable)
		}
	}
}

// Goroutines that wake up together after a pause of 11 ms look at the rate one after
// the other.
func TestGoroutinesThatVerifyTogether(t *testing.T) {
	p := newPauseDetector()
	time.Sleep(time.Millisecond)
	if p.usable() == nil {
		t.Skip("no counter")
	}
	stale := 0
	const rounds = 100
	var low, high uint64 = ^uint64(0), 0
	for range rounds {
		time.Sleep(11 * time.Millisecond)
		start := make(chan bool)
		done := make(chan bool)
		for range 8 {
			go func() { <-start; p.verify(true); done <- true }()
		}
		close(start)
		for range 8 {
			<-done
		}
		l := p.limits.Load()
		if l.stale {
			stale++
		}
		time.Sleep(100 * time.Microsecond)
		if l := p.usable(); l != nil && !l.stale {
			low, high = min(low, l.g), max(high, l.g)
		}
	}
	t.Logf("G from %d to %d ticks", low, high)
	if stale > rounds/50 {
		t.Errorf("in %d of %d rounds the limits were found stale: the rate did not change", stale, rounds)
	}
}

func TestAReadAfterALongPauseAllocatesNoMore(t *testing.T) {
	allocs := func(pause uint64) float64 {
		c := &fakeCounter{now: 1 << 40, step: 20}
		h := newHost()
		h.clones, h.pause = noDetectors(), c.detector()
		start := time.Now()
		h.pause.clock = func() time.Time { return start.Add(time.Duration(c.now - 1<<40)) }
		h.pause.since = h.pause.readMoment()
		h.random = steadyWords()
		r := newPool(h, 1)
		b := make([]byte, 16)
		r.Read(b)
		return testing.AllocsPerRun(1000, func() {
			c.now += pause
			r.Read(b)
		})
	}
	short, long := allocs(ms), allocs(20*ms)
	if long > short {
		t.Errorf("%.0f allocations after a pause of 20 ms, %.0f after one of 1 ms", long, short)
	}
}
