package main

import (
	"fmt"
	"math"
	"runtime"
	"sync"
	"time"
)

var sizes = []int{16, 32, 64, 256, 1 << 10, 4 << 10, 64 << 10, 1 << 20}

// Rounds are shorter than a time slice of the scheduler and peers take turns, so
// that the fastest round is one without other work on the machine.
const (
	rounds        = 100
	roundTime     = 200 * time.Microsecond
	pairRoundTime = time.Millisecond // to start and join goroutines must not count
)

func find(peers []peer, name string) *peer {
	for i := range peers {
		if peers[i].name == name {
			return &peers[i]
		}
	}
	return nil
}

// time is how long n Reads of a size take, shared by so many goroutines.
func (p *peer) time(goroutines, size, n int) (time.Duration, error) {
	if p.worker != nil {
		return p.worker.time(goroutines, size, n)
	}
	if goroutines == 1 {
		b := make([]byte, size)
		// The turns of the others are a pause, after which clonerand's Reads mix for a while.
		// So the first Reads do not count.
		p.loop(b, n/8+1)
		start := time.Now()
		p.loop(b, n)
		return time.Since(start), nil
	}
	var wg sync.WaitGroup
	start := time.Now()
	for range goroutines {
		b := make([]byte, size, max(size, 256)) // no cache line in common
		wg.Go(func() { p.loop(b, (n+goroutines-1)/goroutines) })
	}
	wg.Wait()
	return time.Since(start), nil
}

// perRead is what a Read takes with each peer, in nanoseconds.
func perRead(peers []peer, goroutines, size int) ([]float64, error) {
	round := roundTime
	if goroutines > 1 {
		round = pairRoundTime
	}
	counts := make([]int, len(peers))
	best := make([]float64, len(peers))
	for i := range peers {
		var err error
		if counts[i], err = peers[i].readsIn(round, goroutines, size); err != nil {
			return nil, fmt.Errorf("%s: %w", peers[i].name, err)
		}
		best[i] = math.Inf(1)
	}
	// Until the first collection all garbage is made in memory that was never used,
	// which costs more: see docs/speed.md.
	runtime.GC()
	for range rounds {
		for i := range peers {
			t, err := peers[i].time(goroutines, size, counts[i])
			if err != nil {
				return nil, fmt.Errorf("%s: %w", peers[i].name, err)
			}
			best[i] = min(best[i], float64(t)/float64(counts[i]))
		}
	}
	return best, nil
}

// readsIn is how many Reads take about the time of a round.
func (p *peer) readsIn(round time.Duration, goroutines, size int) (int, error) {
	for n := goroutines; ; n *= 2 {
		took := time.Duration(math.MaxInt64)
		for range 3 {
			t, err := p.time(goroutines, size, n)
			if err != nil {
				return 0, err
			}
			took = min(took, t)
		}
		if took >= round/2 {
			return n, nil
		}
	}
}

// A grid has a row for each peer and a column for each size.
type grid struct {
	peers []peer
	ns    [][]float64
}

func measure(peers []peer, goroutines int) (*grid, error) {
	g := &grid{peers: peers, ns: make([][]float64, len(peers))}
	for _, size := range sizes {
		column, err := perRead(peers, goroutines, size)
		if err != nil {
			return nil, err
		}
		for i, ns := range column {
			g.ns[i] = append(g.ns[i], ns)
		}
	}
	return g, nil
}

func (g *grid) row(name string) []float64 {
	for i := range g.peers {
		if g.peers[i].name == name {
			return g.ns[i]
		}
	}
	return nil
}
