package rand

import (
	"bytes"
	"flag"
	"fmt"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"
)

var writeSpeed = flag.Bool("write-speed", false, "let BenchmarkModel write its tables into docs/speed.md")

// BenchmarkModel measures the terms of the cost model of docs/speed.md, and beside
// their sums what Reads take. To renew the tables of that page:
//
//	go test -run '^$' -bench '^BenchmarkModel$' -benchtime 1x . -write-speed
func BenchmarkModel(b *testing.B) {
	onlyByName(b, "Model")
	var page string
	for b.Loop() {
		page = modelTables()
	}
	b.ReportMetric(0, "ns/op")
	fmt.Print("\n", page) // b.Log shortens it
	if *writeSpeed {
		if err := replaceMeasured("docs/speed.md", page); err != nil {
			b.Fatal(err)
		}
	}
}

const (
	modelRounds = 300
	perBuffer   = bufferLen / blockLen // Reads of 16 bytes that share a request
)

func modelTables() string {
	load := loadAverage()
	parts := partsOfRead()
	var loops []func(n int)
	for _, p := range parts {
		loops = append(loops, p.loop)
	}
	t := map[string]float64{}
	for i, ns := range perOp(modelRounds, roundTime, loops...) {
		t[parts[i].name] = ns
	}
	quick := []term{
		{"lock and unlock", 1}, {"copy and erase 16 B", 1}, {"counter reading", 1},
		{"clone check", 1}, {"request of 6 KiB", perBuffer},
	}
	paused := append(quick[:len(quick):len(quick)],
		term{"two draws", 1}, term{"counter reading", 1}, term{"mix one block", 1},
		term{"mix key", perBuffer}, term{"seeding", perBuffer})

	var out bytes.Buffer
	fmt.Fprintf(&out, "%s, %s/%s, %s, %d CPUs; load average at the begin: %s.\n",
		runtime.Version(), runtime.GOOS, runtime.GOARCH, cpuName(), runtime.NumCPU(), load)
	fmt.Fprintf(&out, "\nA Read of 16 bytes, nanoseconds:\n\n")
	sumTable(&out, t, quick, "measured as a whole", t["Read of 16 B"])
	whole := notHere
	if lim := counterLimits(); lim != nil {
		// Back to back the draws would wait for the CPU to make more of them.
		whole, _, t["two draws"] = quietest(lim, pauses[0], latencies.mean)
	}
	fmt.Fprintf(&out, "\nThe same after a pause:\n\n")
	sumTable(&out, t, paused, "measured as a whole, after 4 us, slowest 0.5 % left out", whole)
	fmt.Fprintf(&out, "\nTo find the home shard taken and go on to the next: %.1f ns more.\n",
		t["the next shard, home taken"]-t["lock and unlock"])
	fmt.Fprintf(&out, "\nReads of 16 bytes by as many goroutines on as many threads, on %d CPUs: time by number of Reads, nanoseconds:\n\n", runtime.NumCPU())
	scaleTable(&out)
	return out.String()
}

// scaleTable has rounds in which each goroutine does thousands of Reads: the first 32
// after a pause mix.
func scaleTable(out *bytes.Buffer) {
	w := tabwriter.NewWriter(out, 0, 0, 1, ' ', 0)
	fmt.Fprint(w, "| goroutines\t| clonerand\t| crypto/rand\t|\n|---\t|---\t|---\t|\n")
	for procs := 1; procs <= 64; procs *= 2 {
		old := runtime.GOMAXPROCS(procs)
		t := perOp(40, 2*time.Millisecond+time.Duration(procs)*200*time.Microsecond,
			func(n int) { together(procs, n, 16, ourReads.loop) },
			func(n int) { together(procs, n, 16, cryptoReads.loop) })
		runtime.GOMAXPROCS(old)
		fmt.Fprintf(w, "| %d\t| %.1f\t| %.1f\t|\n", procs, t[0], t[1])
	}
	w.Flush()
}

// A term is a part that a Read needs once, or that so many Reads share.
type term struct {
	part   string
	shared int
}

func sumTable(out *bytes.Buffer, t map[string]float64, terms []term, whole string, measured float64) {
	sum := 0.0
	w := tabwriter.NewWriter(out, 0, 0, 1, ' ', 0)
	fmt.Fprint(w, "| part\t| alone\t| Reads that share it\t| adds\t|\n|---\t|---\t|---\t|---\t|\n")
	for _, x := range terms {
		adds := t[x.part] / float64(x.shared)
		sum += adds
		fmt.Fprintf(w, "| %s\t| %.1f\t| %d\t| %.1f\t|\n", x.part, t[x.part], x.shared, adds)
	}
	fmt.Fprintf(w, "| sum\t| \t| \t| %.1f\t|\n| %s\t| \t| \t| %.1f\t|\n", sum, whole, measured)
	w.Flush()
}

// loadAverage is how much else the machine had to do in the last minute.
func loadAverage() string {
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	first, _, _ := strings.Cut(string(load), " ")
	return first
}

// replaceMeasured puts text between the two marks of a page.
func replaceMeasured(file, text string) error {
	page, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	begin, end := []byte("<!-- measured -->\n"), []byte("<!-- end of measured -->")
	head, rest, ok := bytes.Cut(page, begin)
	_, tail, ok2 := bytes.Cut(rest, end)
	if !ok || !ok2 {
		return fmt.Errorf("%s has no part marked %q to %q", file, begin, end)
	}
	return os.WriteFile(file, bytes.Join([][]byte{head, begin, []byte(text), end, tail}, nil), 0o644)
}

// A part is one of the things that a Read consists of, alone in a loop.
type part struct {
	name string
	loop func(n int)
}

// partsOfRead are the terms of the cost model in docs/speed.md. In a Read they overlap,
// since a CPU does several things at a time: the sum is a bound from above.
func partsOfRead() []part {
	h := thisHost
	r := newReaderOn(h)
	e, f := r.parts()
	b := make([]byte, 16)
	s := newState(f.conf, f.forks)
	orPanic(s.read(b, e, 0))
	free := r.acquire(0)
	free.lock.unlock()
	const taken = 8
	r.acquire(taken) // for good
	return []part{
		{"Read of 16 B", func(n int) {
			for range n {
				r.Read(b)
			}
		}},
		{"lock and unlock", func(n int) {
			for range n {
				free.lock.tryLock()
				free.lock.unlock()
			}
		}},
		{"the next shard, home taken", func(n int) {
			for range n {
				r.acquire(taken).lock.unlock()
			}
		}},
		{"copy and erase 16 B", func(n int) {
			kept := s.buffer // its own position, and the same memory
			for i := range n {
				var room [maxShort]byte
				kept.pos = i % perBuffer * blockLen
				kept.takeShort(&room, len(b))
				copy(b, room[:])
				clear(room[:])
			}
		}},
		{"counter reading", func(n int) {
			for range n {
				h.pause.now()
			}
		}},
		{"clone check", func(n int) {
			for range n {
				h.clones.still(s.generation)
			}
		}},
		{"request of 6 KiB", func(n int) {
			for range n {
				orPanic(s.refill(blockLen, e))
			}
		}},
		{"two draws", func(n int) {
			for range n {
				h.draw()
			}
		}},
		{"mix one block", func(n int) {
			s.buffer.startMixing()
			for range n {
				s.mixWatched(b, s.buffer.out[:blockLen])
			}
		}},
		{"mix key", func(n int) {
			for range n {
				newAES(s.buffer.key[:])
			}
		}},
		{"seeding", func(n int) {
			for range n {
				orPanic(s.seed(e, false))
			}
		}},
	}
}

func orPanic(err error) {
	if err != nil {
		panic(err)
	}
}

func costOfCloneCheck() float64 {
	clones := thisHost.clones
	seen := clones.current()
	return perOp(guardRounds, roundTime, func(n int) {
		for range n {
			clones.still(seen)
		}
	})[0]
}

// costOfPauseCheck compares with a Read whose counter is a function that always
// returns the same: the call of it makes the difference up to 1 ns too small.
func costOfPauseCheck() float64 {
	h := *thisHost
	h.pause = neverPaused()
	ticks := uint64(0)
	h.pause.read = func() uint64 { ticks++; return ticks }
	still := newReaderOn(&h)
	live := newReaderOn(thisHost)
	b := make([]byte, 16)
	t := perOp(guardRounds, roundTime,
		func(n int) {
			for range n {
				live.Read(b)
			}
		},
		func(n int) {
			for range n {
				still.Read(b)
			}
		})
	return t[0] - t[1]
}

// Other work on the machine makes a measurement longer, never shorter, and comes
// and goes over seconds. So what is compared is timed in turns, in rounds that are
// shorter than a time slice of the scheduler, and the shortest round counts.
const (
	roundTime         = 200 * time.Microsecond
	parallelRoundTime = time.Millisecond // to start and join goroutines must not count
)

// perOp is what one operation of each function takes, in nanoseconds. A function
// gets the number of operations that it is to do. A part of each round is not timed: the
// turns of the others are a pause, after which Reads mix for a while.
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

// usableCounter skips the benchmark where single calls cannot be timed.
func usableCounter(tb testing.TB) *pauseLimits {
	tb.Helper()
	lim := counterLimits()
	if lim == nil {
		tb.Skip(noCounter)
	}
	return lim
}

const noCounter = "no usable cycle counter on this machine: every Read mixes"

// counterLimits waits until it is known whether the counter is usable.
func counterLimits() *pauseLimits {
	for range 2 * maxMeasures {
		time.Sleep(minMeasure)
		if lim := thisHost.pause.usable(); lim != nil {
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
