package rand

import (
	"math"
	"time"
)

func heapKiB() (float64, string) {
	bytes, err := heapOfShards(16)
	if err != nil {
		return notHere, err.Error()
	}
	return bytes / 1024, ""
}

// allocationRows bound what a Read of that size leaves on the heap. A Generate makes
// a key schedule and a stream, which small Reads share. As package testing
// counts, rounded down, that is no allocation.
func allocationRows(name string, size int, pause time.Duration) []guardRow {
	measure := func() (allocs, bytes float64) {
		buf := make([]byte, size)
		lim := counterLimits()
		allocs, bytes = math.Inf(1), math.Inf(1)
		for range 8 { // the quietest: where others have the CPU there are pauses
			a, b := garbage(2560, func() {
				if pause > 0 && lim != nil {
					waitUnused(pause, lim)
				}
				Read(buf)
			})
			allocs, bytes = min(allocs, a), min(bytes, b)
		}
		return allocs, bytes
	}
	// After a pause each kept output has a fold key, and a seeding at its end with two keys more.
	most := 0.25
	if pause > 0 {
		most = 0.625
	}
	return []guardRow{
		{name: "allocations, " + name, must: 0.99, aim: 0, exact: true, measure: func() (float64, string) {
			allocs, _ := measure()
			return allocs, ""
		}},
		{name: "garbage, B per byte, " + name, must: most, aim: 0, measure: func() (float64, string) {
			_, bytes := measure()
			return bytes / float64(size), ""
		}},
	}
}
