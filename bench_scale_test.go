package rand

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
)

// BenchmarkScale shows whether there is a lock or a cache line that all goroutines
// share: then more of them than there are CPUs would slow each other down. homes is
// on how many shards that many goroutines start to look for one that is free.
func BenchmarkScale(b *testing.B) {
	for procs := 1; procs <= 64; procs *= 2 {
		for _, i := range []impl{ourReads, cryptoReads} {
			b.Run(fmt.Sprintf("procs=%d/impl=%s", procs, i.name), func(b *testing.B) {
				defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
				b.SetBytes(16)
				b.ReportAllocs()
				together(procs, b.N, 16, i.loop)
				if i.name == ourReads.name {
					b.ReportMetric(float64(homesOf(procs)), "homes")
				}
			})
		}
	}
}

// homesOf counts the shards that so many goroutines, alive at the same time, use
// when none has to give way to another.
func homesOf(goroutines int) int {
	r, other := newReaderOn(thisHost()), newReaderOn(thisHost())
	done, leave := make(chan bool), make(chan bool)
	for range goroutines {
		go func() {
			b := make([]byte, 16)
			other.Read(b) // to seed takes a larger stack than the first one, somewhere else
			r.Read(b)
			done <- true
			<-leave
		}()
		<-done
	}
	close(leave)
	return shardsInUse(r)
}

func shardsInUse(r *pool) (n int) {
	shards := r.shards.Load().states
	for i := range shards {
		if shards[i].Load() != nil {
			n++
		}
	}
	return n
}

// BenchmarkSameHome is the worst that the choice of shards can do: two goroutines
// that both begin at the same one and do nothing but read.
func BenchmarkSameHome(b *testing.B) {
	if runtime.GOMAXPROCS(0) < 2 {
		b.Skip("one CPU: two goroutines do not run at the same time")
	}
	b.SetBytes(16)
	b.ReportAllocs()
	r := newReaderOn(thisHost())
	r.start()
	// Of one goroutine more than there are shards two have the same home.
	goroutines := make(map[int]chan int)
	var wg sync.WaitGroup
	for {
		n, home := make(chan int), make(chan int)
		wg.Go(func() {
			buf := make([]byte, 16, 256)
			r.Read(buf) // the stack grows here, and with it moves the home
			own := newReaderOn(thisHost())
			own.Read(buf)
			home <- homeIn(own)
			for range <-n {
				r.Read(buf)
			}
		})
		h := <-home
		if same := goroutines[h]; same != nil {
			b.ResetTimer()
			same <- b.N / 2
			n <- b.N / 2
			delete(goroutines, h)
			break
		}
		goroutines[h] = n
	}
	for _, n := range goroutines {
		n <- 0
	}
	wg.Wait()
}

func homeIn(r *pool) int {
	shards := r.shards.Load().states
	for i := range shards {
		if shards[i].Load() != nil {
			return i
		}
	}
	return -1
}
