package rand

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	cryptorand "crypto/rand"
	"encoding/binary"
	"fmt"
	"math/big"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"
	"unsafe"
)

// An impl fills b n times. The loop is inside, so that the call is a direct one.
type impl struct {
	name string
	loop func(b []byte, n int)
}

var (
	ourReads = impl{"clonerand", func(b []byte, n int) {
		for range n {
			Read(b)
		}
	}}
	cryptoReads = impl{"crypto", func(b []byte, n int) {
		for range n {
			cryptorand.Read(b)
		}
	}}
	// ctrReads is the limit of the machine: the cipher alone, one key for everything.
	ctrReads = impl{"aesctr", func(b []byte, n int) {
		block, err := aes.NewCipher(make([]byte, keyLen))
		if err != nil {
			panic(err)
		}
		stream := cipher.NewCTR(block, make([]byte, blockLen))
		for range n {
			stream.XORKeyStream(b, b)
		}
	}}
)

// generatorReads are those of a Generator with the system source.
func generatorReads() impl {
	g, err := New(nil)
	orPanic(err)
	return impl{"generator", func(b []byte, n int) {
		for range n {
			g.Read(b)
		}
	}}
}

var readSizes = []int{16, 32, 64, 256, 1 << 10, 4 << 10, 64 << 10, 1 << 20}

// p256Order is the order of the curve P-256 (SP 800-186, 3.2.1.3).
var p256Order, _ = new(big.Int).SetString("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551", 16)

func BenchmarkRead(b *testing.B) {
	eachRead(b, func(b *testing.B, size int, i impl) { i.loop(make([]byte, size), b.N) })
}

func BenchmarkReadParallel(b *testing.B) {
	eachRead(b, func(b *testing.B, size int, i impl) {
		together(runtime.GOMAXPROCS(0), b.N, size, i.loop)
	})
}

func eachRead(b *testing.B, run func(b *testing.B, size int, i impl)) {
	for _, size := range readSizes {
		for _, i := range []impl{ourReads, generatorReads(), cryptoReads, ctrReads} {
			b.Run(fmt.Sprintf("size=%d/impl=%s", size, i.name), func(b *testing.B) {
				b.SetBytes(int64(size))
				b.ReportAllocs()
				run(b, size, i)
			})
		}
	}
}

func BenchmarkText(b *testing.B) {
	besideCrypto(b, 16, func() { Text() }, func() { cryptorand.Text() })
}

func BenchmarkInt(b *testing.B) {
	besideCrypto(b, 32,
		func() { Int(Reader, p256Order) },
		func() { cryptorand.Int(cryptorand.Reader, p256Order) })
}

func BenchmarkPrime(b *testing.B) {
	besideCrypto(b, 32,
		func() { Prime(Reader, 256) },
		func() { cryptorand.Prime(cryptorand.Reader, 256) })
}

func BenchmarkUint64(b *testing.B) {
	g, err := New(nil)
	orPanic(err)
	var x [8]byte
	besideCrypto(b, 8,
		func() { g.Uint64() },
		func() {
			cryptorand.Read(x[:])
			binary.LittleEndian.Uint64(x[:])
		})
}

// besideCrypto runs a function of this package beside what crypto/rand has in its place.
func besideCrypto(b *testing.B, bytes int64, ours, theirs func()) {
	b.Helper()
	for _, i := range []struct {
		name string
		call func()
	}{{"clonerand", ours}, {"crypto", theirs}} {
		b.Run("impl="+i.name, func(b *testing.B) {
			b.SetBytes(bytes)
			b.ReportAllocs()
			for b.Loop() {
				i.call()
			}
		})
	}
}

func BenchmarkReseed(b *testing.B) {
	g, err := New(nil)
	orPanic(err)
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
	r := newReaderOn(thisHost)
	r.start()
	r.resist(true)
	return impl{"clonerand", func(b []byte, n int) {
		for range n {
			r.Read(b)
		}
	}}
}

// BenchmarkFirstRead is the first Read of 16 bytes: of a fresh reader with fresh detectors
// in a warm process; and of a process that does nothing else, where code and memory are
// touched for the first time, too.
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

// BenchmarkHeap is what the default Reader holds, on the heap and in pages for secrets, when 16
// shards are in use, each after a pause, so that it has its mix key, too.
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
	r := newReaderOn(thisHost)
	e := r.epoch.Load()
	var taken []*state
	buf := make([]byte, 16)
	for home := range n {
		s := r.acquire(uint64(home))
		for range 2 { // the second one after a pause, and so mixed
			time.Sleep(4 * pauseTime)
			if err := s.read(buf, e, 0); err != nil {
				return 0, err
			}
		}
		taken = append(taken, s)
	}
	mapped := 0.0 // outside of the heap
	for _, s := range taken {
		if s.loan != nil {
			mapped += float64(unsafe.Sizeof(*s.secrets))
		}
		s.lock.unlock()
	}
	if got := shardsInUse(r); got != n {
		return 0, fmt.Errorf("%d shards in use, not %d", got, n)
	}
	clear(taken)
	bytes = liveHeap() - before + mapped
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

var pauses = []time.Duration{4 * time.Microsecond, 20 * time.Microsecond, time.Millisecond}

// BenchmarkPause times single Reads of 16 bytes, each after a pause. The mean is without
// the slowest 0.5 %, which are mostly those that other work of the machine fell into.
// That also leaves out the reseed when the buffer is used up, one Read of 384: see
// docs/speed.md.
func BenchmarkPause(b *testing.B) {
	lim := usableCounter(b)
	for _, pause := range pauses {
		for i, call := range pauseCalls() {
			b.Run(fmt.Sprintf("pause=%v/impl=%s", pause, pauseImpls[i]), func(b *testing.B) {
				b.SetBytes(16)
				b.ReportAllocs()
				reportSorted(b, afterPause(lim, pause, b.N, call)[0])
			})
		}
	}
}

// pauseCalls are those of pauseImpls: the draws are the instruction alone, without what
// this package does about it.
func pauseCalls() []func() {
	b := make([]byte, 16)
	return []func(){
		func() { Read(b) },
		func() { cryptorand.Read(b) },
		func() {
			if random := thisHost.random; random != nil {
				random()
			}
		},
	}
}

var pauseImpls = []string{"clonerand", "crypto", "draws"}

// BenchmarkScale shows whether all goroutines share a lock or a cache line: then more of
// them than there are CPUs would slow each other down. homes is on how many shards that
// many goroutines begin.
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
	r, other := newReaderOn(thisHost), newReaderOn(thisHost)
	done, leave := make(chan bool), make(chan bool)
	for range goroutines {
		go func() {
			b := make([]byte, 16)
			other.Read(b) // a seeding needs a larger stack than the first one, which is elsewhere
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

// BenchmarkSameHome is the worst case of the choice of shards: two goroutines that begin
// at the same one and do nothing but read.
func BenchmarkSameHome(b *testing.B) {
	if runtime.GOMAXPROCS(0) < 2 {
		b.Skip("one CPU: two goroutines do not run at the same time")
	}
	b.SetBytes(16)
	b.ReportAllocs()
	r := newReaderOn(thisHost)
	r.start()
	// Of one goroutine more than there are shards two have the same home.
	goroutines := make(map[int]chan int)
	var wg sync.WaitGroup
	for {
		n, home := make(chan int), make(chan int)
		wg.Go(func() {
			buf := make([]byte, 16, 256)
			r.Read(buf) // the stack grows here, and with it moves the home
			own := newReaderOn(thisHost)
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
