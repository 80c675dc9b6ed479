package probe

import "time"

// A Counter is what tells the time of the records.
type Counter func() uint64

// NewCounter returns the CPU's counter where it may be read, and else the monotonic clock in nanoseconds.
func NewCounter(mayRead bool) (c Counter, name string) {
	if hasCycles && mayRead {
		return cycles, "cycle counter"
	}
	start := time.Now()
	return func() uint64 { return uint64(time.Since(start)) }, "clock"
}

// Rate measures the counter against the clock, in ticks per second.
func (c Counter) Rate() uint64 {
	start, first := time.Now(), c()
	time.Sleep(50 * time.Millisecond)
	return uint64(float64(c()-first) / time.Since(start).Seconds())
}
