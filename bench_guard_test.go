package rand

import (
	cryptorand "crypto/rand"
	"fmt"
	"math"
	"runtime"
	"testing"
)

// BenchmarkGuard fails when this package has become slow: when a ratio to
// crypto/rand, to the cipher or to itself is missed by more than 30 % in three
// tries. All of a row is measured in turns in this one process, so that the
// machine and what else it does count for little. Run it with
//
//	go test -run '^$' -bench '^BenchmarkGuard$' -benchtime 1x .
//
// Rows without a limit are times that depend on the machine: they are only shown.
func BenchmarkGuard(b *testing.B) {
	onlyByName(b, "Guard")
	missed := 0
	for b.Loop() {
		fmt.Println()
		for _, row := range guardRows() {
			line, ok := row.judge()
			fmt.Println(line) // b.Log shortens it
			if !ok {
				missed++
			}
		}
	}
	b.ReportMetric(0, "ns/op")
	if missed > 0 {
		b.Fatalf("%d rows missed by more than 30 %%", missed)
	}
}

const (
	guardTries          = 3
	guardTolerance      = 1.3
	guardRounds         = 60
	guardParallelRounds = 200 // the other CPU must be free, too
)

// A guardRow is one figure and its limit.
type guardRow struct {
	name    string
	must    float64 // the limit; 0: only shown
	aim     float64
	atLeast bool // more is better
	exact   bool // no time, so nothing is forgiven
	measure func() (value float64, note string)
}

// notHere is what a measure returns that can not be taken on this machine; the note
// says why.
var notHere = math.NaN()

// judge measures until the limit holds, and at most guardTries times.
func (r *guardRow) judge() (line string, ok bool) {
	best, note := notHere, ""
	for range guardTries {
		value, n := r.measure()
		if math.IsNaN(value) {
			return fmt.Sprintf("%-42s not measured: %s", r.name, n), true
		}
		if math.IsNaN(best) || r.better(value, best) {
			best, note = value, n
		}
		if r.holds(best) {
			break
		}
	}
	sign := "<="
	if r.atLeast {
		sign = ">="
	}
	limit, verdict := fmt.Sprintf("must %s %g", sign, r.must), "ok"
	switch {
	case r.must == 0:
		limit, verdict = "", "shown"
	case !r.holds(best):
		verdict = "MISSED"
	case !r.better(best, r.must):
		verdict = "in 30 %"
	}
	return fmt.Sprintf("%-42s %7.4g  %-12s  aim %-4g  %-7s %s", r.name, best, limit, r.aim, verdict, note), r.holds(best)
}

func (r *guardRow) better(x, y float64) bool {
	if r.atLeast {
		return x >= y
	}
	return x <= y
}

func (r *guardRow) holds(x float64) bool {
	limit := r.must
	switch {
	case r.must == 0:
		return true
	case r.exact:
	case r.atLeast:
		limit /= guardTolerance
	default:
		limit *= guardTolerance
	}
	return r.better(x, limit)
}

func guardRows() []guardRow {
	rows := []guardRow{
		{name: "16 B, time vs crypto/rand", must: 0.45, aim: 0.28, measure: readRatio(16, ourReads, cryptoReads)},
		{name: "16 B, 2 goroutines, throughput vs 1", must: 1.7, aim: 1.9, atLeast: true, measure: speedUp},
		{name: "16 B, 2 goroutines, time vs crypto/rand", must: 0.50, aim: 0.30, measure: parallelRatio},
		{name: "4 KiB, time vs crypto/rand", must: 0.17, aim: 0.13, measure: readRatio(4<<10, ourReads, cryptoReads)},
		{name: "1 MiB, throughput vs raw AES-256-CTR", must: 0.93, aim: 0.96, atLeast: true, measure: readRatio(1<<20, ctrReads, ourReads)},
		{name: "16 B, prediction resistance, vs crypto/rand", must: 25, aim: 12, measure: readRatio(16, resistantReads(), cryptoReads)},
		{name: "Text vs crypto/rand", must: 0.7, aim: 0.5, measure: callRatio(
			func() { Text() }, func() { cryptorand.Text() })},
		{name: "Int of P-256's order vs crypto/rand", must: 0.7, aim: 0.5, measure: callRatio(
			func() { Int(Reader, p256Order) }, func() { cryptorand.Int(cryptorand.Reader, p256Order) })},
		{name: "Prime of 256 bits vs crypto/rand", must: 1.0, aim: 0.95, measure: primeRatio},
		{name: "clone check, ns", aim: 1, measure: func() (float64, string) {
			return costOfCloneCheck(), "must, where the limits were set: 3"
		}},
		{name: "pause check, as what it adds, ns", aim: 4, measure: func() (float64, string) {
			return costOfPauseCheck(), "must, where the limits were set: 7"
		}},
		{name: "first Read of a fresh reader, us", aim: 10, measure: func() (float64, string) {
			return perOp(guardRounds, roundTime, freshReads)[0] / 1000, "must, where the limits were set: 30"
		}},
		{name: "heap of 16 shards, KiB", must: 128, aim: 96, exact: true, measure: heapKiB},
	}
	rows = append(rows, pauseRows()...)
	rows = append(rows, allocationRows("16 B", 16, 0)...)
	rows = append(rows, allocationRows("256 B", 256, 0)...)
	return append(rows, allocationRows("16 B after a pause", 16, 4*pauseTime)...)
}

func readRatio(size int, x, y impl) func() (float64, string) {
	buf := make([]byte, size)
	return func() (float64, string) {
		t := perOp(guardRounds, roundTime,
			func(n int) { x.loop(buf, n) }, func(n int) { y.loop(buf, n) })
		return t[0] / t[1], fmt.Sprintf("(%.4g ns, %.4g ns)", t[0], t[1])
	}
}

func speedUp() (float64, string) {
	if runtime.GOMAXPROCS(0) < 2 {
		return notHere, "one CPU"
	}
	t := perOp(guardParallelRounds, parallelRoundTime,
		func(n int) { together(1, n, 16, ourReads.loop) }, func(n int) { together(2, n, 16, ourReads.loop) })
	return t[0] / t[1], fmt.Sprintf("(%.4g ns, %.4g ns)", t[0], t[1])
}

func parallelRatio() (float64, string) {
	if runtime.GOMAXPROCS(0) < 2 {
		return notHere, "one CPU"
	}
	t := perOp(guardParallelRounds, parallelRoundTime,
		func(n int) { together(2, n, 16, ourReads.loop) }, func(n int) { together(2, n, 16, cryptoReads.loop) })
	return t[0] / t[1], fmt.Sprintf("(%.4g ns, %.4g ns)", t[0], t[1])
}

func callRatio(x, y func()) func() (float64, string) {
	return func() (float64, string) {
		t := perOp(guardRounds, roundTime, repeated(x), repeated(y))
		return t[0] / t[1], fmt.Sprintf("(%.4g ns, %.4g ns)", t[0], t[1])
	}
}

func repeated(f func()) func(n int) {
	return func(n int) {
		for range n {
			f()
		}
	}
}

// primeRatio takes all rounds, since how many candidates it takes is chance.
func primeRatio() (float64, string) {
	t := totalPerOp(guardRounds, 8,
		repeated(func() { Prime(Reader, 256) }), repeated(func() { cryptorand.Prime(cryptorand.Reader, 256) }))
	return t[0] / t[1], fmt.Sprintf("(%.4g us, %.4g us)", t[0]/1e3, t[1]/1e3)
}
