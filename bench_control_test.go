package rand

import (
	"context"
	cryptorand "crypto/rand"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"testing"
	"time"
)

func BenchmarkReseed(b *testing.B) {
	g, err := New(nil)
	if err != nil {
		b.Fatal(err)
	}
	perso := []byte("sixteen bytes or")
	for _, i := range []struct {
		name   string
		reseed func(perso []byte) error
	}{{"default", Reseed}, {"generator", g.Reseed}} {
		b.Run("of="+i.name, func(b *testing.B) {
			b.SetBytes(entropyLen)
			b.ReportAllocs()
			for b.Loop() {
				if err := i.reseed(perso); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDepleteRead(b *testing.B) {
	b.SetBytes(16)
	b.ReportAllocs()
	buf := make([]byte, 16)
	for b.Loop() {
		Deplete()
		Read(buf)
	}
}

func BenchmarkPredictionResistance(b *testing.B) {
	for _, i := range []impl{resistantReads(), cryptoReads} {
		b.Run("impl="+i.name, func(b *testing.B) {
			b.SetBytes(16)
			b.ReportAllocs()
			i.loop(make([]byte, 16), b.N)
		})
	}
}

func resistantReads() impl {
	r := newReaderOn(thisHost())
	r.start()
	r.resist(true)
	return impl{"clonerand", func(b []byte, n int) {
		for range n {
			r.Read(b)
		}
	}}
}

// BenchmarkFirstRead is a Read of 16 bytes of which nothing was prepared: in a warm
// process a fresh reader with fresh detectors; and in processes that do
// nothing else, where code and memory are touched for the first time too.
func BenchmarkFirstRead(b *testing.B) {
	if who := os.Getenv(firstReadBy); who != "" {
		printFirstRead(who)
		return
	}
	b.Run("fresh=reader/impl=clonerand", func(b *testing.B) {
		b.SetBytes(16)
		b.ReportAllocs()
		freshReads(b.N)
	})
	for _, who := range []string{"clonerand", "crypto"} {
		b.Run("fresh=process/impl="+who, func(b *testing.B) {
			b.SetBytes(16)
			l := make(latencies, 0, b.N)
			for range b.N {
				l = append(l, firstReadInProcess(b, who))
			}
			reportSorted(b, l)
		})
	}
}

// freshReads leaves a page of memory behind for each fresh host: it is never unmapped.
func freshReads(n int) {
	buf := make([]byte, 16)
	for range n {
		newReaderOn(newHost()).Read(buf)
	}
}

const firstReadBy = "CLONERAND_TEST_FIRST_READ" // in a child's environment: who is to read

func printFirstRead(who string) {
	buf := make([]byte, 16)
	start := time.Now()
	if who == "clonerand" {
		Read(buf)
	} else {
		cryptorand.Read(buf)
	}
	fmt.Printf("\nfirst read: %d ns\n", time.Since(start))
}

var firstRead = regexp.MustCompile(`first read: (\d+) ns`)

func firstReadInProcess(tb testing.TB, who string) float64 {
	tb.Helper()
	cmd := testBinary(context.Background(), "-test.run=^$", "-test.bench=^BenchmarkFirstRead$", "-test.benchtime=1x")
	cmd.Env = append(os.Environ(), firstReadBy+"="+who)
	out, err := cmd.CombinedOutput()
	found := firstRead.FindSubmatch(out)
	if err != nil || found == nil {
		tb.Fatalf("child: %v\n%s", err, out)
	}
	ns, err := strconv.Atoi(string(found[1]))
	if err != nil {
		tb.Fatal(err)
	}
	return float64(ns)
}

// BenchmarkHeap is what the default Reader holds when 16 shards are in use, each
// after a pause, so that it has its second key, too.
func BenchmarkHeap(b *testing.B) {
	for b.Loop() {
		bytes, err := heapOfShards(16)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(bytes, "heap-B")
	}
	b.ReportMetric(0, "ns/op")
}

func heapOfShards(n int) (bytes float64, err error) {
	counterLimits()
	before := liveHeap()
	r := newReaderOn(thisHost())
	e := r.epoch.Load()
	var taken []*state
	buf := make([]byte, 16)
	for home := range n {
		s := r.acquire(uint64(home))
		for range 2 { // the second one after a pause, and so folded
			time.Sleep(4 * pauseTime)
			if err := s.read(buf, e, 0); err != nil {
				return 0, err
			}
		}
		taken = append(taken, s)
	}
	for _, s := range taken {
		s.lock.unlock()
	}
	if got := shardsInUse(r); got != n {
		return 0, fmt.Errorf("%d shards in use, not %d", got, n)
	}
	clear(taken)
	bytes = liveHeap() - before
	runtime.KeepAlive(r)
	return bytes, nil
}

func liveHeap() float64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what was freed while the first was at work
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}
