package rand

import (
	"testing"
)

// A part is one of the things that a Read consists of, alone in a loop.
type part struct {
	name string
	loop func(n int)
}

// partsOfRead are the terms of the cost model in docs/speed.md. In a Read they overlap,
// since a CPU does several things at a time: the sum is a bound from above.
func partsOfRead() []part {
	h := thisHost()
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
			for i := range n {
				out := s.buffer.out[i%256*blockLen:][:blockLen]
				copy(b, out)
				clear(out)
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
		{"Generate of 4 KiB", func(n int) {
			for range n {
				orPanic(s.refill(blockLen, e))
			}
		}},
		{"two draws", func(n int) {
			for range n {
				h.draw()
			}
		}},
		{"fold one block", func(n int) {
			s.buffer.startMixing()
			for range n {
				s.mixWatched(b, s.buffer.out[:blockLen])
			}
		}},
		{"fold key", func(n int) {
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

func BenchmarkPart(b *testing.B) {
	for _, p := range partsOfRead() {
		b.Run("part="+p.name, func(b *testing.B) {
			b.ReportAllocs()
			p.loop(b.N)
		})
	}
}

// BenchmarkPauseCheck is what the pause check adds to a Read of 16 bytes.
func BenchmarkPauseCheck(b *testing.B) {
	for b.Loop() {
		b.ReportMetric(costOfPauseCheck(), "added-ns")
	}
	b.ReportMetric(0, "ns/op")
}

func costOfCloneCheck() float64 {
	clones := thisHost().clones
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
	h := *thisHost()
	h.pause = neverPaused()
	h.pause.read = func() uint64 { return 1 }
	still := newReaderOn(&h)
	live := newReaderOn(thisHost())
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
