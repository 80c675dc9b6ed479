package rand

import (
	"fmt"
	"math"
	"time"
)

// drawsThere is what two executions of RDRAND took, in nanoseconds, where the limits
// of Reads after a pause were set (AMD EPYC). On Intel they take twice that and
// more, and nothing in a Read can change it: there the ratios to crypto/rand
// are only shown. What is judged everywhere is what a Read takes beyond the
// draws, compared with a Read that no pause went before.
const drawsThere = 46

func pauseRows() (rows []guardRow) {
	judged := 1.0
	if draws := costOfDraws(); draws > 1.3*drawsThere {
		judged = 0
		rows = append(rows, guardRow{name: "two draws, ns; the ratios after a pause are for 46", measure: func() (float64, string) {
			return draws, "so these are not judged here"
		}})
	}
	for i, pause := range pauses {
		rows = append(rows, guardRow{
			name: fmt.Sprintf("16 B after %v, mean vs crypto/rand", pause),
			must: judged * []float64{1.6, 1.4, 1.4}[i], aim: []float64{1.1, 1.0, 0.9}[i],
			measure: pauseRatio(pause, latencies.mean),
		})
		if pause == time.Millisecond {
			continue
		}
		rows = append(rows, guardRow{
			name: fmt.Sprintf("16 B after %v, p99 vs crypto/rand", pause), must: judged * 1.2, aim: 0.8,
			measure: pauseRatio(pause, func(l latencies) float64 { return l.percentile(99) }),
		})
	}
	return append(rows, guardRow{
		name: "16 B after 4µs, beyond the draws, vs 16 B", must: 4, aim: 3, measure: beyondDraws,
	})
}

// costOfDraws is 0 where there is nothing to draw from or no counter to time it.
func costOfDraws() float64 {
	lim := counterLimits()
	if lim == nil || thisHost().random == nil {
		return 0
	}
	return afterPause(lim, pauses[0], 4000, func() { thisHost().draw() })[0].percentile(50)
}

func beyondDraws() (float64, string) {
	lim := counterLimits()
	if lim == nil {
		return notHere, noCounter
	}
	buf := make([]byte, 16)
	plain := perOp(guardRounds, roundTime, func(n int) { ourReads.loop(buf, n) })[0]
	l := afterPause(lim, pauses[0], 8000, func() { Read(buf) }, func() { thisHost().draw() })
	ours, draws := l[0].percentile(50), l[1].percentile(50)
	return (ours - draws) / plain, fmt.Sprintf("((%.0f - %.0f) / %.1f ns)", ours, draws, plain)
}

// pauseRatio takes for each of the two the quietest of several blocks, in which they
// take turns.
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
		var calls []func()
		for _, i := range pauseImpls() {
			calls = append(calls, i.call)
		}
		ours, theirs, draws := math.Inf(1), math.Inf(1), math.Inf(1)
		for range blocks {
			l := afterPause(lim, pause, perBlock, calls...)
			ours, theirs = min(ours, figure(l[0])), min(theirs, figure(l[1]))
			draws = min(draws, l[2].mean())
		}
		return ours / theirs, fmt.Sprintf("(%.0f ns, %.0f ns, two draws alone %.0f ns)", ours, theirs, draws)
	}
}
