package rand

import (
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A bench is a counter and a clock that stand beside each other on a test's bench.
type bench struct {
	elapsed  time.Duration
	rate     float64       // ticks per second
	cost     time.Duration // of a reading of the counter
	look     time.Duration // of a reading of the clock
	coarse   time.Duration // the clock shows multiples of this
	clockLag time.Duration // the clock has not counted this: a hibernation
	still    bool
	ticks    uint64 // the counter shows multiples of this, or every tick
	stall    int    // the machine stalls for 200 us behind this look at the clock, counted down
	trips    int    // this many readings more are trapped or interrupted: 10 us
}

func (b *bench) read() uint64 {
	b.elapsed += b.cost
	if b.trips > 0 {
		b.trips--
		b.elapsed += 10 * time.Microsecond
	}
	if b.still {
		return 1000
	}
	shown := 1000 + uint64(b.elapsed.Seconds()*b.rate)
	if b.ticks != 0 {
		shown -= shown % b.ticks
	}
	return shown
}

func (b *bench) clock() time.Time {
	b.elapsed += b.look
	if b.stall--; b.stall == 0 {
		defer func() { b.elapsed += 200 * time.Microsecond }()
	}
	t := b.elapsed - b.clockLag
	if b.coarse != 0 {
		t = t.Truncate(b.coarse)
	}
	return time.Unix(0, 0).Add(t)
}

func (b *bench) detector() *pauseDetector {
	p := &pauseDetector{read: b.read, readFenced: b.read, clock: b.clock}
	p.since.store(p.readMoment())
	return p
}

func TestUsableCounter(t *testing.T) {
	tests := []struct {
		name  string
		bench bench
		why   string // "" where it is usable
	}{
		{"2.1 GHz", bench{rate: 2.1e9}, ""},
		{"10 GHz", bench{rate: 9.99e9}, ""},
		{"more than 10 GHz", bench{rate: 10.1e9}, "10 MHz to 10 GHz"},
		{"25 MHz", bench{rate: 25e6}, ""},
		{"10 MHz", bench{rate: 10.1e6}, ""},
		{"less than 10 MHz", bench{rate: 9.9e6}, "10 MHz to 10 GHz"},
		{"stands still", bench{rate: 1e9, still: true}, "stands still"},
		{"cheap enough", bench{rate: 1e9, cost: 190 * time.Nanosecond}, ""},
		{"trapped", bench{rate: 1e9, cost: 210 * time.Nanosecond}, "trapped"},
		{"trapped for good", bench{rate: 1e9, cost: 20 * time.Microsecond}, "trapped"},
		{"1 GHz shown over 24 MHz", bench{rate: 1e9, ticks: 42}, ""},
		{"1 GHz shown over 10 MHz", bench{rate: 1e9, ticks: 100}, ""},
		{"1 GHz shown over 5 MHz", bench{rate: 1e9, ticks: 200}, "steps of 200 ticks, more than " + maxStep.String()},
		{"1 GHz shown over 5 MHz, read slowly", bench{rate: 1e9, ticks: 200, cost: 190 * time.Nanosecond}, "steps of 200 ticks"},
		{"goes backwards", bench{rate: -1e6}, "stands still"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := tt.bench
			if b.cost == 0 {
				b.cost = 10 * time.Nanosecond
			}
			b.look = 30 * time.Nanosecond
			b.elapsed = time.Second
			p := b.detector()
			for range maxMeasures {
				b.elapsed += time.Millisecond
				p.usable()
			}
			l := p.limits.Load()
			if l == nil {
				t.Fatal("after eight measurings nothing is known")
			}
			if tt.why == "" && (p.usable() == nil || l.why != "") {
				t.Fatalf("not usable: %s", l.why)
			}
			if tt.why != "" {
				if p.usable() != nil || !strings.Contains(l.why, tt.why) {
					t.Fatalf("usable: %v, why %q, not %q", p.usable() != nil, l.why, tt.why)
				}
				return
			}
			exact := pauseTime.Seconds() * b.rate
			if g := float64(l.g); g > exact || g < 0.99*exact-1 {
				t.Errorf("G is %v ticks; 2 us are %v", g, exact)
			}
			if want := max(float64(b.ticks), 1)/b.rate < b.cost.Seconds(); (l.zero == 1) != want {
				t.Errorf("a difference of nothing is a pause: %v", !want)
			}
			if l.allowance.Load() != l.g {
				t.Errorf("the allowance is %d and not G at first", l.allowance.Load())
			}
		})
	}
}

func TestCounterIsNotUsableTooEarly(t *testing.T) {
	b := &bench{rate: 1e9, cost: 10, look: 30}
	p := b.detector()
	b.elapsed += 9 * time.Microsecond
	if p.usable() != nil || p.limits.Load() != nil {
		t.Error("the rate was measured over less than 10 us")
	}
	b.elapsed += 2 * time.Microsecond
	if p.usable() == nil {
		t.Error("not usable after 10 us")
	}
}

// Where the first measuring comes to nothing, as on a busy machine, Inspect does not say that the counter
// is not used: it says what will be used.
func TestInspectWaitsForTheMeasuring(t *testing.T) {
	b := &bench{rate: 1e9, cost: 10, look: time.Microsecond}
	p := b.detector()
	for _, stale := range []bool{false, true} {
		if stale {
			p.limits.Store(&pauseLimits{rate: 1e9, g: 1, stale: true})
			p.since.store(p.readMoment())
		}
		h := &host{pause: p}
		if row := h.inspectPause(0); row.Active != stale {
			t.Errorf("rate stale: %v: without a loop %+v", stale, row)
		}
		if row := h.inspectPause(1); !row.Active || p.limits.Load().stale || strings.Contains(row.Detail, "NaN") {
			t.Errorf("rate stale: %v: %+v", stale, row)
		}
	}
}

func TestOneInterruptionDoesNotDecide(t *testing.T) {
	b := &bench{rate: 1e9, cost: 10, look: 30}
	p := b.detector()
	b.elapsed += time.Millisecond
	b.trips = 100 // of 256
	if l := p.usable(); l == nil {
		t.Errorf("not usable: %v", p.limits.Load())
	} else if exact := float64(gTicks); float64(l.g) > exact {
		t.Errorf("G is %d ticks, more than %v", l.g, exact)
	}
}

func TestGIsNeverMoreThanPauseTime(t *testing.T) {
	tests := []struct {
		name   string
		change func(b *bench)
	}{
		{"clock and counter agree", func(b *bench) {}},
		{"a hibernation that the clock did not count", func(b *bench) { b.elapsed += time.Hour; b.clockLag = time.Hour }},
		{"one of a millisecond", func(b *bench) { b.elapsed += time.Millisecond; b.clockLag = time.Millisecond }},
	}
	for _, coarse := range []time.Duration{0, 100, time.Microsecond, 500 * time.Microsecond, 15625 * time.Microsecond} {
		for _, tt := range tests {
			t.Run(tt.name+", clock of "+coarse.String(), func(t *testing.T) {
				for i := range time.Duration(120) { // wherever in the clock's step it begins and ends
					begin, span := i/3, []time.Duration{20, 990, 1234}[i%3]*time.Microsecond
					b := &bench{rate: 1e9, cost: 10, look: 30, coarse: coarse, elapsed: time.Second + begin*coarse/40}
					p := b.detector()
					b.elapsed += span
					tt.change(b)
					for try := 0; try < 10_000 && p.usable() == nil; try++ {
						b.elapsed += 777 * time.Microsecond
					}
					l := p.usable()
					if l == nil {
						t.Fatalf("it never is usable: %v", p.limits.Load())
					}
					// The length of the second span is known to a quarter. The rate may be too high by as
					// much where the clock missed something in the first.
					if most := float64(gTicks) * rateError; float64(l.g) > most*1.02 {
						t.Fatalf("begun at %v: G is %d ns", begin*coarse/40, l.g)
					}
					if l.g < 1000 {
						t.Fatalf("begun at %v: G is %d ns: much would be taken for a pause that is none", begin*coarse/40, l.g)
					}
				}
			})
		}
	}
}

func TestAllowanceIsFourTimesTheFastestMix(t *testing.T) {
	for _, tt := range []struct{ mix, fastest, allowance uint64 }{
		{100, 100, gTicks},
		{gTicks/4 - 1, gTicks/4 - 1, gTicks},
		{gTicks, gTicks, 4 * gTicks},
		{100_000, 90_000, 360_000},
		{0, 0, gTicks}, // a counter that stands still says nothing
		{100_000, 0, 400_000},
	} {
		c := &fakeCounter{now: 1 << 40}
		p := c.detector()
		l := p.usable()
		mixes := 0
		p.widen(l, func() {
			c.now += tt.mix
			if mixes++; mixes == 40 {
				c.now += tt.fastest - tt.mix
			}
		})
		allowance := l.allowance.Load()
		p.widen(l, func() { mixes++ }) // is not measured again
		if got := l.allowance.Load(); got != tt.allowance || got != allowance || mixes != 64 {
			t.Errorf("mixes of %d, the fastest %d: allowance %d after %d mixes, not %d", tt.mix, tt.fastest, got, mixes, tt.allowance)
		}
	}
}

func TestTheAllowanceIsMeasuredAfterTwoTriesInARow(t *testing.T) {
	for failing, want := range []bool{false, false, true} {
		w := newWorld(0)
		r := rested(t, w, ms)
		from := w.readings
		w.reading = func() { // each mix ends with one
			if w.readings-from <= failing {
				w.counter += gTicks + us
			}
		}
		readN(t, r, 16)
		if got := r.conf().host.pause.limits.Load().widened.Load(); got != want {
			t.Errorf("after %d tries that failed: measured: %v", failing, got)
		}
	}
}

// TestCounterSwitchedOff starts itself with the environment variable.
func TestCounterSwitchedOff(t *testing.T) {
	if isAgain() {
		time.Sleep(time.Millisecond)
		p := thisHost.pause
		os.Stdout.WriteString("usable: ")
		if l, why := p.decided(); l != nil {
			os.Stdout.WriteString("yes\n")
		} else {
			os.Stdout.WriteString("no, " + why + "\n")
		}
		readN(t, defaultReader, 16)
		readN(t, defaultReader, 5000)
		if l := p.limits.Load(); l != nil && l.why != "" && (p.usual.Load() || p.peek() != 0) {
			os.Stdout.WriteString("it is read all the same\n")
		}
		return
	}
	for _, value := range []string{"off", "OFF", "0", "on", ""} {
		out, err := again(t, "CLONERAND_COUNTER="+value)
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		off := strings.Contains(out, "usable: no, switched off by CLONERAND_COUNTER="+value)
		if off == (value == "on" || value == "") || strings.Contains(out, "all the same") {
			t.Errorf("CLONERAND_COUNTER=%s: %s", value, out)
		}
	}
}

func TestTheCounterOfThisCPU(t *testing.T) {
	if ok, why := hasCounter(); !ok {
		t.Skip(why)
	}
	p := newPauseDetector()
	start := time.Now()
	first := p.nowFenced()
	for time.Since(start) < 20*time.Millisecond {
	}
	ticks, took := p.nowFenced()-first, time.Since(start)
	l, why := p.decided()
	if l == nil && os.Getenv(emulatorEnv) != "" {
		t.Skip("not usable in emulation: ", why)
	}
	if l == nil {
		t.Fatal("not usable here: ", why)
	}
	// The machine may do anything else in between the two readings, but mostly does not.
	if rate := float64(ticks) / took.Seconds(); float64(l.rate) > 1.3*rate || float64(l.rate) < rate/1.3 {
		t.Errorf("rate %d Hz, by hand %.0f Hz", l.rate, rate)
	}
	if hasCPURandom() {
		x, y, ok := (&host{random: cpuRandom}).draw()
		if !ok || x == y {
			t.Errorf("the CPU's instruction gave %#x, %#x, %v", x, y, ok)
		}
	}
}

// One stall of the machine while the rate is measured, beside a clock that missed 2.9 s. The
// rate since the measuring began is then too high, and so is the bound of the span with the
// stall. After 3.9 s the rate seems to be 9.75 GHz, which is possible: only the bounds of the
// other spans show that it is wrong.
func TestAStallDoesNotWidenG(t *testing.T) {
	for _, ran := range []time.Duration{3000 * time.Millisecond, 3900 * time.Millisecond} {
		for stall := range 40 {
			b := &bench{rate: 2.5e9, cost: 10, look: 30, elapsed: time.Second}
			p := b.detector()
			b.elapsed += ran
			b.clockLag = 2900 * time.Millisecond
			b.stall = stall
			for try := 0; try < 100 && p.usable() == nil; try++ {
				b.elapsed += 777 * time.Microsecond
			}
			if l := p.usable(); l == nil || float64(l.g) > 2.55*float64(gTicks) {
				t.Errorf("after %v, a stall behind look %d: %+v, want a G of 5,000 ticks", ran, stall, l)
			}
		}
	}
}

// A clock that missed a sixth of the time makes the counter seem a fifth faster. The bound is lower, and
// counts.
func TestTheLowestRateCounts(t *testing.T) {
	b := &bench{rate: 2.5e9, cost: 10, look: 30, elapsed: time.Second}
	p := b.detector()
	b.elapsed += 3 * time.Second
	b.clockLag = time.Second / 2
	if l := p.usable(); l == nil || float64(l.g) > 1.15*2.5*float64(gTicks) {
		t.Errorf("%+v, want a G of 5,000 ticks", p.limits.Load())
	}
}

// A clock that moves in steps of 15.6 ms bounds no rate over a short span. While it is measured the
// machine is restored, and its clock has not counted the time that the counter shows. A span that
// was lengthened so by less than ten times is a possible rate.
func TestACoarseClockThatMissedTimeDoesNotWidenG(t *testing.T) {
	for _, rate := range []float64{1e9, 25e6} {
		for _, missed := range []time.Duration{500 * time.Millisecond, 2900 * time.Millisecond, time.Minute} {
			for _, at := range []time.Duration{0, 500 * time.Millisecond, 1500 * time.Millisecond} {
				b := &bench{rate: rate, cost: 10, look: 30, coarse: 15625 * time.Microsecond, elapsed: time.Second}
				p := b.detector()
				begun := b.elapsed
				for try := 0; try < 20_000 && p.usable() == nil; try++ {
					if b.elapsed += 777 * time.Microsecond; b.clockLag == 0 && b.elapsed-begun > at {
						b.elapsed += missed
						b.clockLag = missed
					}
				}
				if l := p.usable(); l == nil || float64(l.g) > 1.05*rate*pauseTime.Seconds() {
					t.Errorf("%.0f Hz, %v missed after %v: %+v, want a G of 2 us", rate, missed, at, l)
				}
			}
		}
	}
}

// Nor is the rate of the machine before a bound: on another machine two spans are measured again.
func TestACoarseClockMeasuresTheNextRateOverTwoSpans(t *testing.T) {
	b := &bench{rate: 2.5e9, cost: 10, look: 30, coarse: 15625 * time.Microsecond, elapsed: time.Second}
	p := b.detector()
	for try := 0; try < 10_000 && p.usable() == nil; try++ {
		b.elapsed += 777 * time.Microsecond
	}
	b.elapsed += 2 * time.Second
	b.rate = 1e9
	p.verify(true)
	for try := 0; try < 10_000 && p.usable().stale; try++ {
		if b.elapsed += 777 * time.Microsecond; try == 100 {
			b.elapsed += 1440 * time.Millisecond
			b.clockLag = 1440 * time.Millisecond
		}
	}
	if l := p.usable(); l.stale || float64(l.g) > 1.05*float64(gTicks) {
		t.Errorf("%+v, want a G of 2,000 ticks", l)
	}
}

// A rate that has changed is measured anew, with all tries. What a mix may take stays: without it no mix
// would be quick enough.
func TestAStaleRate(t *testing.T) {
	b := &bench{rate: 2.5e9, cost: 10, look: 30, elapsed: time.Second}
	p := b.detector()
	b.elapsed += time.Second
	p.usable().allowance.Store(77_777)
	p.tries.Store(maxMeasures - 1)
	b.elapsed += time.Second
	b.rate = 1e9
	p.verify(true)
	l := p.limits.Load()
	if allowance, tries := l.allowance.Load(), p.tries.Load(); !l.stale || allowance != 77_777 || tries != 0 {
		t.Errorf("stale %v, allowance %d, %d tries made", l.stale, allowance, tries)
	}
}

func TestADistrustedCounterIsNotRead(t *testing.T) {
	p := newPauseDetector()
	if l, why := p.decided(); l == nil {
		t.Skip("the counter is not used here: ", why)
	}
	p.distrust()
	if p.usable() != nil || p.peek() != 0 {
		t.Errorf("usable %v, read %d", p.usable() != nil, p.peek())
	}
}

// Nor does a coarse clock keep a counter that stands still from being found out.
func TestACounterThatStandsStillBesideACoarseClock(t *testing.T) {
	b := &bench{rate: 1e9, cost: 10, look: 30, coarse: 15625 * time.Microsecond, still: true}
	p := b.detector()
	for try := 0; try < 40_000 && p.limits.Load() == nil; try++ {
		b.elapsed += 777 * time.Microsecond
		p.usable()
	}
	if l := p.limits.Load(); l == nil || !strings.Contains(l.why, "stands still") {
		t.Errorf("after 31 s: %+v, want a counter that stands still", l)
	}
}

// A checkpoint that was made before the counter was measured goes on where the clock shows
// less: on a machine that was started later.
func TestAClockThatWentBack(t *testing.T) {
	b := &bench{rate: 1e9, cost: 10, look: 30, elapsed: 2 * time.Hour}
	p := b.detector()
	b.clockLag = time.Hour
	for try := 0; try < 100 && p.usable() == nil; try++ {
		b.elapsed += 777 * time.Microsecond
	}
	if l := p.usable(); l == nil || l.g > gTicks {
		t.Errorf("the counter is not usable before the clock is where it was: %+v", l)
	}
}

// A counter of 1 GHz that moves 100 ticks at a time: Reads mix as on any machine, and
// measure once at most what a mix takes.
func TestACoarseCounterDoesNotMakeReadsFail(t *testing.T) {
	for _, ticks := range []uint64{42, 100} {
		w := newWorld(0)
		w.cpu = nil
		h := w.host()
		read := h.pause.read
		h.pause.read = func() uint64 { now := read(); return now - now%ticks }
		h.pause.readFenced = h.pause.read
		h.pause.limits.Load().zero = 0
		r := newPool(h, 1)
		for range 10 {
			w.counter += ms
			readN(t, r, 1024)
		}
		before := w.drawn["system"]
		const reads = 100
		for range reads {
			w.counter += ms
			readN(t, r, 16)
		}
		if n := w.drawn["system"] - before; n > 3*reads {
			t.Errorf("steps of %d ticks: %d Reads asked the system %d times", ticks, reads, n)
		}
	}
}

// Steps of 4 KiB take longer than any step of a counter that is used.
func TestACoarseCounterThatStandsStillIsAPause(t *testing.T) {
	for _, size := range []int{5000, 16} {
		w := newWorld(0)
		h := w.host()
		h.pause.limits.Load().zero = 0
		r := newPool(h, 1)
		readN(t, r, 5000)
		exhaust(t, r)
		exhaust(t, r)
		from := w.readings
		w.before = func(int) {
			if w.step = 20; w.readings > from+1 { // no step in the time of 2 KiB
				w.step = 0
			}
		}
		if readN(t, r, 16); r.shard(0).buffer.mixing {
			t.Error("equal readings after less than 4 KiB are taken for a pause")
		}
		exhaust(t, r)
		w.before, w.step = nil, 0
		draws := w.drawn["cpu"]
		readN(t, r, size)
		if w.drawn["cpu"] == draws {
			t.Errorf("Read of %d: on a counter that stands still nothing fresh was drawn", size)
		}
	}
}

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
		if l := r.conf().host.pause.limits.Load(); l.stale || l.g > 50 {
			t.Error("the rate was not measured again")
		}
		wantPauseSeen(t, r, w, 1750) // 70 us
	})
}

// The same where the checkpoint fell into a Read, at any reading of it, and no long pause
// follows.
func TestARateThatChangesInTheMiddleOfARead(t *testing.T) {
	for _, size := range []int{16, 1024, 3 * streamStep} {
		for at, more := 0, true; more; at++ {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(0)
				r := newPool(w.host(), 1)
				readN(t, r, 16)
				exhaust(t, r)
				r.deplete()
				w.clock()
				first := w.looks
				w.before = func(look int) {
					if look == first+at {
						w.rate, w.step = 25e6, 1
						w.counter += 25e6 // a second
					}
				}
				readN(t, r, size)
				if more = w.rate != 1e9; !more {
					return
				}
				w.before = nil
				for range 100 {
					w.counter += 30
					readN(t, r, 16)
				}
				t.Log("Read of", size, "before look", at)
				wantPauseSeen(t, r, w, 1750)
			})
		}
	}
}

// wantPauseSeen clones r after a pause of so many ticks.
func wantPauseSeen(t *testing.T, r *pool, w *world, pause uint64) {
	t.Helper()
	l := r.conf().host.pause.limits.Load()
	t.Logf("limits now: g %d, rate %d, stale %v, why %q; the window's limit is %d, open %v, mixing %v",
		l.g, l.rate, l.stale, l.why, r.shard(0).window.limit, r.shard(0).window.open(), r.shard(0).buffer.mixing)
	var clones [2][]byte
	for i := range clones {
		w := w.clone()
		w.counter += pause
		w.cpu = streamOf("cpu", uint64(i)+1)
		w.system = streamOf("system", uint64(i)+1)
		c := cloneReader(r, w)
		clones[i] = append(readN(t, c, 16), readN(t, c, 16)...)
	}
	if n := equalBlocks(clones[0], clones[1]); n != 0 {
		t.Errorf("a pause is not seen: %d blocks are equal", n)
	}
}

// A counter that is set back in the middle of a Read: that shows that the old limits are not those of
// this counter, and what of the Read follows is not judged by them.
func TestASetBackInAReadEndsItsLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(0)
		r := rested(t, w, 0)
		exhaust(t, r)
		readN(t, r, 16) // from a buffer that is not mixed
		w.counter += ms
		looks := 0
		read := func(i uint64, changed, at int) []byte {
			w := w.clone()
			r := cloneReader(r, w)
			w.before = func(look int) {
				if looks = look; look == changed {
					w.counter -= 1000 * ms
					w.rate, w.step = 25e6, 1
				}
				if look == at {
					w.counter += 1750 // 70 us
					w.cpu, w.system = streamOf("cpu", i), streamOf("system", i)
				}
			}
			return readN(t, r, 16)
		}
		read(0, -1, -1)
		for changed := range looks + 1 {
			read(0, changed, -1)
			for at, end := changed, looks; at <= end; at++ {
				if equalBlocks(read(1, changed, at), read(2, changed, at)) != 0 {
					t.Errorf("set back at look %d, cloned before look %d: a block is equal", changed, at)
				}
			}
		}
	})
}

// What a window was opened by is not believed any more where the counter is found to be unusable.
func TestNoWindowIsOpenWithoutACounter(t *testing.T) {
	w := newWorld(0)
	r := rested(t, w, ms)
	readN(t, r, 16) // opens it, and draws a salt
	r.conf().host.pause.limits.Store(counterOff().limits.Load())
	for range 2 {
		draws := w.drawn["system"]
		if readN(t, r, 16); w.drawn["system"] == draws {
			t.Error("a Read without a counter has no salt of its own")
		}
	}
}

// So it is where that is found in the middle of a Read, as it begins or before it draws.
func TestNoWindowIsOpenAfterTheCounterWasGivenUp(t *testing.T) {
	for _, late := range []bool{false, true} {
		w := newWorld(0)
		h, _, _ := forkHost(w)
		r := newPool(h, 1)
		readN(t, r, 16)
		exhaust(t, r)
		readN(t, r, 16) // of a buffer that is not mixed
		h.clones.wipeOnFork = func(*uint64) string { h.pause.distrust(); return "" }
		if late { // the second of two long pauses is in the mix that follows the first
			w.counter += ms
			w.reading = func() { w.reading, w.counter = nil, w.counter+20*ms }
		} else {
			h.pause.doubt.Store(true)
			r.shard(0).epoch = &epoch{id: 1} // another one, so that the Read is not on the fast path
		}
		readN(t, r, 16)
		if s := r.shard(0); s.window.open() || !s.buffer.mixing || h.pause.usable() != nil {
			t.Errorf("late %v: window open %v, mixing %v", late, s.window.open(), s.buffer.mixing)
		}
	}
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

// A counter that runs at another rate, or that was exchanged for one that says more, makes them stale.
func TestAnotherRateMakesTheLimitsStale(t *testing.T) {
	for _, tt := range []struct {
		ticks, clock time.Duration // how far the counter of 1 GHz and the clock have gone
		stale        bool
	}{
		{20 * time.Millisecond, 20 * time.Millisecond, false},
		{20 * time.Millisecond, 22 * time.Millisecond, false},
		{20 * time.Millisecond, 24 * time.Millisecond, true},
		{24 * time.Millisecond, 20 * time.Millisecond, true},
		{900 * time.Microsecond, 500 * time.Microsecond, false}, // too short to tell
		{5 * time.Millisecond, 500 * time.Microsecond, true},
	} {
		c := &fakeCounter{now: 1 << 40}
		now := time.Unix(0, 0)
		p := c.detector()
		p.clock = func() time.Time { return now }
		p.since.store(p.readMoment())
		c.now += uint64(tt.ticks)
		now = now.Add(tt.clock)
		p.verify(true)
		if l := p.limits.Load(); l.stale != tt.stale || l.stale && l.g != 1 {
			t.Errorf("%v of the counter in %v: stale %v, G of %d ticks", tt.ticks, tt.clock, l.stale, l.g)
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
		h.pause.since.store(h.pause.readMoment())
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

// Nor does a counter keep Inspect that has stopped since it was measured.
func TestInspectEndsWhereTheCounterStandsStill(t *testing.T) {
	p := new(fakeCounter).detector()
	readings := 0
	p.read = func() uint64 {
		if readings++; readings > 1e9 {
			panic("a loop of 100 us has not ended after seconds")
		}
		return 1 << 40
	}
	p.trial(p.limits.Load(), 100*time.Microsecond)
}

// In a bubble of testing/synctest the clock stands still while anybody computes. Inspect
// comes to an end all the same.
func TestInspectEndsInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &fakeCounter{now: 1 << 40}
		p := c.detector()
		readings := 0
		p.read = func() uint64 {
			if readings++; readings > 1e6 {
				panic("a loop of 100 us has not ended after 20 ms")
			}
			c.now += 20
			return c.now
		}
		if cost, _ := p.trial(p.limits.Load(), 100*time.Microsecond); cost < 19 || cost > 21 {
			t.Errorf("a check takes %.1f ns, want 20", cost)
		}
	})
}
