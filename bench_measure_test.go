package rand

import (
	"flag"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Other work on the machine makes a measurement longer, never shorter, and comes
// and goes over seconds. So what is compared is timed in turns, in rounds that are
// shorter than a time slice of the scheduler, and the shortest round counts.
const (
	roundTime         = 200 * time.Microsecond
	parallelRoundTime = time.Millisecond // to start and join goroutines must not count
)

// perOp is what one operation of each function takes, in nanoseconds. A function
// gets the number of operations that it is to do. A part of each round is not
// timed: after the turns of the others, a pause, Reads fold until the kept output
// is used up.
func perOp(rounds int, round time.Duration, fs ...func(n int)) []float64 {
	counts := make([]int, len(fs))
	best := make([]float64, len(fs))
	for i, f := range fs {
		f(1) // first use
		counts[i] = opsIn(round, f)
		best[i] = math.Inf(1)
	}
	// Until the first collection all garbage is made in memory that was never used,
	// which costs more: see docs/speed.md.
	runtime.GC()
	for range rounds {
		for i, f := range fs {
			f(counts[i]/8 + 1)
			start := time.Now()
			f(counts[i])
			best[i] = min(best[i], float64(time.Since(start))/float64(counts[i]))
		}
	}
	return best
}

// opsIn is how many operations take about t.
func opsIn(t time.Duration, f func(n int)) int {
	for n := 1; ; n *= 2 {
		took := time.Duration(math.MaxInt64)
		for range 3 {
			start := time.Now()
			f(n)
			took = min(took, time.Since(start))
		}
		if took >= t/2 {
			return n
		}
	}
}

// totalPerOp is like perOp for operations of very different lengths: the time of all
// rounds counts.
func totalPerOp(rounds, n int, fs ...func(n int)) []float64 {
	sum := make([]float64, len(fs))
	for range rounds {
		for i, f := range fs {
			start := time.Now()
			f(n)
			sum[i] += float64(time.Since(start)) / float64(rounds*n)
		}
	}
	return sum
}

// together gives n reads of the given size to as many goroutines. Their
// buffers share no cache line.
func together(goroutines, n, size int, loop func(b []byte, n int)) {
	var wg sync.WaitGroup
	for range goroutines {
		b := make([]byte, size, max(size, 256))
		wg.Go(func() { loop(b, (n+goroutines-1)/goroutines) })
	}
	wg.Wait()
}

// garbage is what one call leaves behind on the heap.
func garbage(n int, f func()) (allocs, bytes float64) {
	f()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range n {
		f()
	}
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / float64(n), float64(after.TotalAlloc-before.TotalAlloc) / float64(n)
}

// latencies are sorted times of single calls, in nanoseconds.
type latencies []float64

// mean leaves out the slowest 0.5 %: mostly those that an interrupt fell into.
func (l latencies) mean() float64 {
	l = l[:max(1, len(l)-len(l)/200)]
	sum := 0.0
	for _, t := range l {
		sum += t
	}
	return sum / float64(len(l))
}

func (l latencies) percentile(p float64) float64 {
	return l[min(len(l)-1, int(float64(len(l))*p/100))]
}

// afterPause times n single calls of each function, in turns, each after a pause in
// which nothing was read: from before the call to when all of it is done, over
// the same for an empty call. Spin and call are timed apart, since the noise of a
// spin hides 50 ns.
func afterPause(lim *pauseLimits, pause time.Duration, n int, fs ...func()) []latencies {
	toNano := 1e9 / float64(lim.rate)
	empty := make(latencies, 101)
	for i := range empty {
		empty[i] = float64(ticksOf(func() {}))
	}
	slices.Sort(empty)
	out := make([]latencies, len(fs))
	for range n {
		for i, f := range fs {
			waitUnused(pause, lim)
			took := float64(ticksOf(f)) - empty.percentile(50)
			out[i] = append(out[i], took*toNano)
		}
	}
	for _, l := range out {
		slices.Sort(l)
	}
	return out
}

func ticksOf(f func()) uint64 {
	start := cyclesFenced()
	f()
	return cyclesFenced() - start
}

// waitUnused sleeps where that is exact enough, and otherwise spins.
func waitUnused(pause time.Duration, lim *pauseLimits) {
	if pause >= 500*time.Microsecond {
		time.Sleep(pause)
		return
	}
	ticks := uint64(float64(lim.rate) * pause.Seconds())
	for start := cycles(); cycles()-start < ticks; {
	}
}

// usableCounter skips the benchmark where single calls can not be timed.
func usableCounter(tb testing.TB) *pauseLimits {
	tb.Helper()
	lim := counterLimits()
	if lim == nil {
		tb.Skip(noCounter)
	}
	return lim
}

const noCounter = "no usable cycle counter on this machine: every Read folds"

// counterLimits waits until it is known whether the counter is usable.
func counterLimits() *pauseLimits {
	for range 2 * maxMeasures {
		time.Sleep(minMeasure)
		if lim := thisHost().pause.usable(); lim != nil {
			return lim
		}
	}
	return nil
}

func reportSorted(b *testing.B, l latencies) {
	b.Helper()
	slices.Sort(l)
	b.ReportMetric(l.mean(), "mean-ns")
	b.ReportMetric(l.percentile(50), "p50-ns")
	b.ReportMetric(l.percentile(99), "p99-ns")
	b.ReportMetric(0, "ns/op") // mostly what is around the calls
}

// onlyByName skips a benchmark that is no measurement for -bench . to make.
func onlyByName(b *testing.B, name string) {
	b.Helper()
	if !strings.Contains(flag.Lookup("test.bench").Value.String(), name) {
		b.Skipf("only when asked for: -bench '^Benchmark%s$' -benchtime 1x", name)
	}
}
