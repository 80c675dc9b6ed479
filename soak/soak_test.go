// Package soak tests what only shows in the long run: that no block of output comes
// twice, and that memory does not grow.
//
//	go test ./soak                               a short form
//	go test ./soak -run Soak -soak 100GB -timeout 0
package soak

import (
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/clonerand/rand"
)

var soakSize = flag.String("soak", "2GB", "bytes to read in TestSoak, in MB, GB or TB")

const (
	readers  = 8
	blockLen = 16

	// maxSampled blocks are kept at most. A block is sampled by its value, so that of two
	// equal ones both are or none is.
	maxSampled = 1 << 20

	forkEvery = 100 * time.Millisecond
	orderUpTo = 4 * time.Millisecond

	// Growth between the first tenth and the last that is none: what is alive hardly
	// varies, what is held from the system does with the collector's timing.
	maxLiveGrowth = 1 << 20
	maxHeldGrowth = 64 << 20
)

// Eight goroutines read in all sizes while another one reseeds, depletes, and
// switches prediction resistance, and while the process forks. Every block, in
// whatever process, is another one. Two equal random blocks of 16 bytes among all
// of 100 GB have a chance of 10^-19.
func TestSoak(t *testing.T) {
	size, err := parseSize(*soakSize)
	if err != nil {
		t.Fatal(err)
	}
	if testing.Short() || raceEnabled {
		size = min(size, 100e6)
	}
	s := newSoak(t, size)
	s.run()
	t.Logf("%d MB in %d Reads, %d blocks sampled, 1 in %d; %d orders, %d forked children (%d lost)",
		(size-s.left.Load())/1e6, s.reads.Load(), len(s.sampled.blocks), s.sampled.mask+1, s.orders, s.children, s.lost)
	if s.children == 0 {
		t.Logf("no forks: %s", whyNoForks)
	}
	if len(s.sampled.blocks) < 1000 || s.orders == 0 {
		t.Error("too little was done to show anything")
	}
}

type soak struct {
	t       *testing.T
	sources []io.Reader // read in turn by chance
	sampled *blockSet

	// Whoever reads or gives orders holds calm for reading. A fork and the measuring of
	// memory hold it alone: the child has one thread and none of the others' locks of
	// the runtime may be held in it.
	calm sync.RWMutex

	size        int64
	left, reads atomic.Int64
	nextFork    atomic.Int64 // in nanoseconds since begun
	begun       time.Time
	failed      atomic.Bool
	early, late atomic.Pointer[runtime.MemStats]

	// Under calm, alone.
	orders, children, lost int
}

func newSoak(t *testing.T, size int64) *soak {
	own, err := rand.New(&rand.Config{Personalization: []byte("soak")})
	if err != nil {
		t.Fatal(err)
	}
	s := &soak{t: t, size: size, begun: time.Now()}
	s.sources = []io.Reader{rand.Reader, rand.Reader, rand.Reader, own}
	s.sampled = newBlockSet(size / blockLen)
	s.left.Store(size)
	return s
}

func (s *soak) run() {
	stop := make(chan struct{})
	var reading, ordering sync.WaitGroup
	for range readers {
		reading.Go(s.read)
	}
	ordering.Go(func() { s.order(stop) })
	reading.Wait()
	close(stop)
	ordering.Wait()
	s.compareMemory()
}

// read is one of the goroutines that read.
func (s *soak) read() {
	buf := make([]byte, 1<<20)
	for s.left.Load() > 0 && !s.failed.Load() {
		s.calm.RLock()
		for range 64 {
			b := buf[:readSize()]
			if _, err := s.sources[mathrand.IntN(len(s.sources))].Read(b); err != nil {
				s.fail("Read: %v", err)
			}
			if s.sampled.add(b) {
				s.fail("a block came twice")
			}
			s.reads.Add(1)
			s.left.Add(-int64(len(b)))
		}
		s.calm.RUnlock()
		s.alone()
	}
}

// alone does what cannot be done while others read, when it is due.
func (s *soak) alone() {
	if next := s.nextFork.Load(); int64(time.Since(s.begun)) > next && s.nextFork.CompareAndSwap(next, next+int64(forkEvery)) {
		s.calm.Lock()
		s.fork()
		s.calm.Unlock()
	}
	s.measureAt(&s.early, s.size/10*9)
	s.measureAt(&s.late, s.size/10)
}

// measureAt measures memory once, when no more than left is left to be read.
func (s *soak) measureAt(at *atomic.Pointer[runtime.MemStats], left int64) {
	if at.Load() != nil || s.left.Load() > left {
		return
	}
	s.calm.Lock()
	defer s.calm.Unlock()
	if at.Load() == nil {
		m := new(runtime.MemStats)
		runtime.GC()
		runtime.ReadMemStats(m)
		at.Store(m)
	}
}

// readSize: mostly small ones, as programs read, and most bytes in large ones.
func readSize() int {
	switch n := mathrand.IntN(256); {
	case n < 128:
		return 1 + mathrand.IntN(64)
	case n < 240:
		return 1 + mathrand.IntN(4096)
	case n < 254:
		return 1 + mathrand.IntN(64<<10)
	default:
		return 1 + mathrand.IntN(1<<20)
	}
}

// order gives one order after the other until it is stopped.
func (s *soak) order(stop <-chan struct{}) {
	own := s.sources[len(s.sources)-1].(*rand.Generator)
	orders := []func() error{
		func() error { rand.Deplete(); own.Deplete(); return nil },
		func() error { return rand.Reseed(nil) },
		func() error { return rand.Reseed(fmt.Append(nil, s.orders)) },
		func() error { return own.Reseed(fmt.Append(nil, s.orders)) },
		func() error { return rand.SetPredictionResistance(true) },
		func() error { return own.SetPredictionResistance(true) },
	}
	for {
		select {
		case <-stop:
			rand.SetPredictionResistance(false)
			return
		case <-time.After(mathrand.N(orderUpTo)):
		}
		s.calm.RLock()
		// What was switched on stays on until the next order.
		rand.SetPredictionResistance(false)
		own.SetPredictionResistance(false)
		if err := orders[mathrand.IntN(len(orders))](); err != nil {
			s.fail("order: %v", err)
		}
		s.orders++
		s.calm.RUnlock()
	}
}

// fork compares what a child and its parent read after a fork, all of it.
func (s *soak) fork() {
	const size = 16 << 10 // fits into a pipe
	child, err := forkAndRead(s.sources, size)
	if err != nil {
		// A thread of the runtime that nobody asked for, as the scavenger's, may have held
		// a lock at the fork. It does not twice in a row: seen never in 4,000 forks.
		s.lost++
		child, err = forkAndRead(s.sources, size)
	}
	if err != nil {
		s.fail("fork: %v", err)
	}
	if child == nil {
		return
	}
	s.children++
	parent := make([]byte, size)
	readAll(s.sources, parent)
	all := &blockSet{blocks: make(map[[blockLen]byte]struct{}, 2*size/blockLen)}
	if all.add(child) || all.add(parent) {
		s.fail("parent and child read an equal block")
	}
	if s.sampled.add(child) || s.sampled.add(parent) {
		s.fail("a block came twice, once around a fork")
	}
}

// readAll fills b by Reads of several sizes, all of them whole blocks. It allocates nothing.
func readAll(sources []io.Reader, b []byte) {
	for i := 0; len(b) > 0; i++ {
		part := b[:min(len(b), [...]int{16, 2048, 64, 1024, 256}[i%5])]
		sources[i%len(sources)].Read(part)
		b = b[len(part):]
	}
}

func (s *soak) compareMemory() {
	early, late := s.early.Load(), s.late.Load()
	if early == nil || late == nil {
		s.t.Error("memory was not measured")
		return
	}
	live := int64(late.HeapAlloc) - int64(early.HeapAlloc)
	held := int64(late.Sys) - int64(early.Sys)
	s.t.Logf("memory: live %+d KiB, held %+d KiB between the first tenth and the last", live>>10, held>>10)
	if live > maxLiveGrowth || held > maxHeldGrowth {
		s.t.Error("memory grows")
	}
}

func (s *soak) fail(format string, args ...any) {
	if s.failed.CompareAndSwap(false, true) {
		s.t.Errorf(format, args...)
	}
}

// A blockSet holds the blocks of which the first bits are zero under mask.
type blockSet struct {
	mu     sync.Mutex
	mask   uint64
	blocks map[[blockLen]byte]struct{}
}

// newBlockSet is for a number of blocks, of which it samples maxSampled at most. It
// takes all the memory that it needs at once.
func newBlockSet(blocks int64) *blockSet {
	s := new(blockSet)
	for blocks/int64(s.mask+1) > maxSampled {
		s.mask = s.mask<<1 | 1
	}
	s.blocks = make(map[[blockLen]byte]struct{}, maxSampled*5/4)
	return s
}

// add reports whether a block of b was there already. Output that a Read uses in
// part is used up, so equal blocks lie at a multiple of their size.
func (s *blockSet) add(b []byte) (twice bool) {
	for ; len(b) >= blockLen; b = b[blockLen:] {
		if binary.LittleEndian.Uint64(b)&s.mask != 0 {
			continue
		}
		s.mu.Lock()
		_, there := s.blocks[[blockLen]byte(b)]
		s.blocks[[blockLen]byte(b)] = struct{}{}
		s.mu.Unlock()
		twice = twice || there
	}
	return twice
}

// parseSize reads a number of bytes: 100GB.
func parseSize(s string) (int64, error) {
	for unit, times := range map[string]float64{"MB": 1e6, "GB": 1e9, "TB": 1e12} {
		number, ok := strings.CutSuffix(s, unit)
		var n float64
		if _, err := fmt.Sscan(number, &n); ok && err == nil && n > 0 {
			return int64(n * times), nil
		}
	}
	return 0, fmt.Errorf("-soak %q: want a number and MB, GB or TB, as 100GB", s)
}
