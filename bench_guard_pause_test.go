package rand

import (
	"fmt"
	"math"
	"time"
)

// Where the limits of Reads after a pause were set (AMD EPYC), two executions of RDRAND
// took 70 ns after a pause, and crypto/rand's whole Read 93 ns. On an Intel Xeon
// they take 84 and 60 ns: no Read that draws 16 fresh bytes can then come close to
// the limits. So these are only judged where the draws leave room for the rest. What
// is judged everywhere is what a Read takes beyond the draws.
const drawsLeaveRoom = 0.85 // of crypto/rand's Read

func pauseRows() (rows []guardRow) {
	judged := 1.0
	if share := drawsInPlaceOfARead(); share > drawsLeaveRoom {
		judged = 0
		rows = append(rows, guardRow{name: "two draws after 4µs vs crypto/rand's Read", measure: func() (float64, string) {
			return share, fmt.Sprintf("more than %g: ratios after a pause are not judged here", drawsLeaveRoom)
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
		name: "16 B after 4µs less the draws, vs crypto/rand", must: 2, aim: 1.2, measure: beyondDraws,
	})
}

// drawsInPlaceOfARead is 0 where there is nothing to draw from or no counter to time it.
func drawsInPlaceOfARead() float64 {
	lim := counterLimits()
	if lim == nil || thisHost().random == nil {
		return 0
	}
	_, theirs, draws := quietest(lim, pauses[0], latencies.mean)
	return draws / theirs
}

func beyondDraws() (float64, string) {
	lim := counterLimits()
	if lim == nil {
		return notHere, noCounter
	}
	buf := make([]byte, 16)
	plain := perOp(guardRounds, roundTime, func(n int) { cryptoReads.loop(buf, n) })[0]
	l := afterPause(lim, pauses[0], 8000, func() { Read(buf) }, twoDraws)
	ours, draws := l[0].percentile(50), l[1].percentile(50)
	return (ours - draws) / plain, fmt.Sprintf("((%.0f - %.0f) / %.1f ns)", ours, draws, plain)
}

func pauseRatio(pause time.Duration, figure func(latencies) float64) func() (float64, string) {
	return func() (float64, string) {
		lim := counterLimits()
		if lim == nil {
			return notHere, noCounter
		}
		ours, theirs, draws := quietest(lim, pause, figure)
		return ours / theirs, fmt.Sprintf("(%.0f ns, %.0f ns, two draws alone %.0f ns)", ours, theirs, draws)
	}
}

// quietest takes for each of the three the quietest of several blocks, in which they
// take turns.
func quietest(lim *pauseLimits, pause time.Duration, figure func(latencies) float64) (ours, theirs, draws float64) {
	blocks, perBlock := 8, 1000
	if pause >= time.Millisecond {
		blocks, perBlock = 2, 200
	}
	var calls []func()
	for _, i := range pauseImpls() {
		calls = append(calls, i.call)
	}
	ours, theirs, draws = math.Inf(1), math.Inf(1), math.Inf(1)
	for range blocks {
		l := afterPause(lim, pause, perBlock, calls...)
		ours, theirs = min(ours, figure(l[0])), min(theirs, figure(l[1]))
		draws = min(draws, l[2].mean())
	}
	return ours, theirs, draws
}
