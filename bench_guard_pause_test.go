package rand

import (
	"fmt"
	"math"
	"time"
)

// drawsThere is what two executions of RDRAND took, in nanoseconds, where the limits
// of Reads after a pause were set (AMD EPYC). On Intel they take four times
// that and more, and nothing in a Read can change it: a row counts what a Read
// costs beyond the two draws of this machine, and these instead of them.
const drawsThere = 46

// pauseRows are Reads after a pause: the mean without the slowest 0.5 %, and p99.
func pauseRows() (rows []guardRow) {
	for i, pause := range pauses {
		must := []float64{1.6, 1.4, 1.4}[i]
		aim := []float64{1.1, 1.0, 0.9}[i]
		rows = append(rows, guardRow{
			name: fmt.Sprintf("16 B after %v, mean vs crypto/rand", pause), must: must, aim: aim,
			measure: pauseRatio(pause, latencies.mean),
		})
		if pause == time.Millisecond {
			continue
		}
		rows = append(rows, guardRow{
			name: fmt.Sprintf("16 B after %v, p99 vs crypto/rand", pause), must: 1.2, aim: 0.8,
			measure: pauseRatio(pause, func(l latencies) float64 { return l.percentile(99) }),
		})
	}
	return rows
}

// pauseRatio takes for each of the two, and the draws, the quietest of several
// blocks, in which they take turns.
func pauseRatio(pause time.Duration, figure func(latencies) float64) func() (float64, string) {
	blocks, perBlock := 8, 1000
	if pause >= time.Millisecond {
		blocks, perBlock = 2, 200
	}
	return func() (float64, string) {
		lim := counterLimits()
		if lim == nil {
			return notHere, noCounter
		}
		if thisHost().random == nil {
			return notHere, "the CPU has no random instruction: a Read after a pause draws from crypto/rand itself"
		}
		var calls []func()
		for _, i := range pauseImpls() {
			calls = append(calls, i.call)
		}
		ours, theirs, draws := math.Inf(1), math.Inf(1), math.Inf(1)
		middle := [2]float64{math.Inf(1), math.Inf(1)}
		for range blocks {
			l := afterPause(lim, pause, perBlock, calls...)
			ours, theirs = min(ours, figure(l[0])), min(theirs, figure(l[1]))
			draws = min(draws, l[2].mean())
			middle = [2]float64{min(middle[0], l[0].percentile(50)), min(middle[1], l[1].percentile(50))}
		}
		counted := ours - max(0, draws-drawsThere)
		return counted / theirs, fmt.Sprintf(
			"(%.0f ns, %.0f ns: %.2f as measured; two draws here take %.0f ns, counted as %.0f; p50 %.0f, %.0f)",
			ours, theirs, ours/theirs, draws, min(draws, drawsThere), middle[0], middle[1])
	}
}
