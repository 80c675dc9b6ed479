package rand

import (
	cryptorand "crypto/rand"
	"fmt"
	"testing"
	"time"
)

var pauses = []time.Duration{4 * time.Microsecond, 20 * time.Microsecond, time.Millisecond}

// BenchmarkPause times single Reads of 16 bytes, each after a pause without any. The
// mean is without the slowest 0.5 %; with them it is of whatever else the machine
// does. That also leaves out the reseed when the kept output is used up, one Read
// of 256: see docs/speed.md. draws is what the fresh bytes of a Read after a
// pause cost alone: two executions of the CPU's random instruction.
func BenchmarkPause(b *testing.B) {
	lim := usableCounter(b)
	for _, pause := range pauses {
		for _, i := range pauseImpls() {
			b.Run(fmt.Sprintf("pause=%v/impl=%s", pause, i.name), func(b *testing.B) {
				b.SetBytes(16)
				b.ReportAllocs()
				reportSorted(b, afterPause(lim, pause, b.N, i.call)[0])
			})
		}
	}
}

// twoDraws is the instruction alone, without what this package does about it.
func twoDraws() {
	if random := thisHost().random; random != nil {
		random()
	}
}

type pauseImpl struct {
	name string
	call func()
}

func pauseImpls() []pauseImpl {
	b := make([]byte, 16)
	return []pauseImpl{
		{"clonerand", func() { Read(b) }},
		{"crypto", func() { cryptorand.Read(b) }},
		{"draws", twoDraws},
	}
}
