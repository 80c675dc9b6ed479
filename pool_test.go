package rand

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func forkHost(w *world) (h *host, page *uint64, pid *atomic.Int64) {
	h = w.host()
	page, pid = new(uint64), new(atomic.Int64)
	pid.Store(7)
	h.clones = &cloneWatch{
		forkPage:   func() (*uint64, string) { return page, "" },
		wipeOnFork: func(*uint64) string { return "" },
		identity:   func() int { return int(pid.Load()) },
	}
	return h, page, pid
}

// Who measures the counter when the process forks is not there in the child.
func TestForkWhileTheCounterIsMeasured(t *testing.T) {
	like, page, _ := forkHost(newWorld(0))
	h := newHost()
	h.clones = like.clones
	h.clones.current()
	if !h.pause.startMeasuring() || h.pause.startMeasuring() {
		t.Fatal("two measure at once, or none can")
	}
	for _, forked := range []bool{false, true} {
		if forked {
			atomic.StoreUint64(page, 0)
			h.clones.current()
		}
		for try := 0; try < 100 && h.pause.limits.Load() == nil; try++ {
			time.Sleep(time.Millisecond)
			h.pause.usable()
		}
		if measured := h.pause.limits.Load() != nil; measured != forked {
			t.Errorf("forked: %v, measured: %v", forked, measured)
		}
	}
}

// What a child does not use of its parent is wiped, the state that its first Read
// finds included.
func TestTheChildWipesTheParentsStates(t *testing.T) { childWipes(t) }

func childWipes(t *testing.T) {
	t.Helper()
	for _, n := range []int{1, 16} {
		w := newWorld(0)
		h, page, pid := forkHost(w)
		r := newPool(h, n)
		for i := range n {
			readN(t, r.only(i), 16)
		}
		var old []*state
		var had []secrets
		for i := range r.shards.Load().states {
			if s := r.shard(i); s != nil {
				old, had = append(old, s), append(had, *s.secrets)
			}
		}
		*page = 0
		pid.Store(8)
		w.counter += ms
		readN(t, r, 16)
		for i, s := range old {
			// The child's own state may have the memory by now.
			if s.drbg.key == had[i].drbg.key || bytes.Contains(s.kept.out[:], had[i].kept.out[bufferLen-blockLen:]) {
				t.Errorf("%d states: state %d of the parent is still in the child's memory", n, i)
			}
			if s.loan != nil && !s.loan.ended.Load() {
				t.Errorf("%d states: the memory of state %d of the parent is not given back", n, i)
			}
		}
	}
}

func ends(t *testing.T, limit time.Duration, what string, f func()) bool {
	t.Helper()
	done := make(chan bool)
	go func() { defer close(done); f() }()
	select {
	case <-done:
		return true
	case <-time.After(limit):
		t.Errorf("%s: still not done after %v", what, limit)
		return false
	}
}

// A Read that waits for the lock of a state counts from when it has it: it may have waited long
// enough for a clone.
func TestAReadThatWaitedForALockLooksAgain(t *testing.T) {
	w := newWorld(0)
	r := rested(t, w, 0)
	exhaust(t, r)
	readN(t, r, 16) // from a buffer that is not mixed
	s := r.shard(0)
	s.lock.tryLock()
	r.conf().host.clones.identity = func() int { // is asked between two tries
		if w.counter += ms; s.lock.held != 0 {
			s.lock.unlock()
		}
		return 1
	}
	draws := w.drawn["cpu"]
	readN(t, r, 16)
	if w.drawn["cpu"] == draws {
		t.Error("nothing fresh after a pause of 1 ms before the lock was free")
	}
}

// The page was restored without its advice; then a child found the lock held.
func TestALockFromBeforeAForkThatOnlyTheProcessIDShows(t *testing.T) {
	w := newWorld(0)
	h, _, pid := forkHost(w)
	r := newPool(h, 1)
	readN(t, r, 16)
	r.shard(0).lock.tryLock() // its holder stayed in the parent
	pid.Store(8)
	w.counter += 20 * ms
	ends(t, 5*time.Second, "Read in the child", func() { r.Read(make([]byte, 16)) })
}

func TestForksWithoutEndDoNotHang(t *testing.T) {
	for name, every := range map[string]int64{"each look": 1, "every 5th look": 5, "every 40th": 40} {
		w := newWorld(0)
		r := rested(t, w, 0)
		var looks, stop atomic.Int64
		defer func() { t.Logf("%s: %d looks, %d forks", name, looks.Load(), r.conf().host.clones.forks()) }()
		r.conf().host.clones.identity = func() int {
			if stop.Load() != 0 {
				return 1
			}
			return int(looks.Add(1) / every)
		}
		for _, n := range []int{16, 5000} {
			if !ends(t, 3*time.Second, fmt.Sprintf("a new process ID at %s, Read of %d", name, n), func() { r.Read(make([]byte, n)) }) {
				stop.Store(1)
				time.Sleep(100 * time.Millisecond)
				break
			}
		}
	}
}

// A shard that is first used after an event has seedings that follow it, too.
func TestAShardThatIsMadeAfterAnEventReseedsToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(0)
		w.cpu = nil
		h := w.host()
		r := newPool(h, 2)
		readN(t, r.only(0), 16)
		h.clones.bump()
		for i := range 2 {
			readN(t, r.only(i), 16)
		}
		time.Sleep(2 * time.Second)
		w.counter += 2000 * ms
		for i := range 2 {
			seeded := w.seeded
			readN(t, r.only(i), 16)
			if w.seeded == seeded {
				t.Errorf("shard %d does not reseed after the event", i)
			}
		}
	})
}

// TestNoBlockTwice: everything at once from 64 goroutines, and no 16 bytes come a
// second time. In CI it takes 10 million blocks, else a tenth.
func TestNoBlockTwice(t *testing.T) {
	const goroutines = 64
	total := 1_000_000
	if os.Getenv("CI") == "true" {
		total = 10_000_000
	}
	host := newHost()
	g, err := newGenerator(&Config{}, host)
	if err != nil {
		t.Fatal(err)
	}
	own, err := newGenerator(&Config{Entropy: newSource("own")}, host)
	if err != nil {
		t.Fatal(err)
	}
	resist := func(on bool) error { return SetPredictionResistance(on) }
	kinds := []randomness{
		{Read: Read, Reseed: Reseed, Deplete: Deplete, Resist: resist},
		{Read: g.Read, Reseed: g.Reseed, Deplete: g.Deplete, Resist: g.SetPredictionResistance},
		{Read: own.Read, Reseed: own.Reseed, Deplete: own.Deplete, Resist: own.SetPredictionResistance},
	}
	t.Cleanup(func() { SetPredictionResistance(false) })
	found := make([][]uint64, goroutines)
	var generation atomic.Uint64
	var wg sync.WaitGroup
	for i := range found {
		wg.Go(func() {
			x := kinds[i%len(kinds)]
			sizes := []int{16, 16, 32, 16, 1024, 48, 16, 4096, 16, 100 * 16}
			b := make([]byte, 4096)
			for n := 0; len(found[i]) < total/goroutines; n++ {
				part := b[:sizes[n%len(sizes)]]
				if _, err := x.Read(part); err != nil {
					t.Error(err)
					return
				}
				found[i] = blocks(found[i], part)
				switch {
				case n%1000 == 10*i:
					if err := x.Reseed(part[:5]); err != nil {
						t.Error(err)
					}
				case n%200 == i:
					x.Deplete()
				case n%3000 == 30*i:
					x.Resist(true)
				case n%3000 == 30*i+3:
					x.Resist(false)
				case n%100 == 50:
					generation.Store(Generation())
				}
			}
		})
	}
	wg.Wait()
	all := slices.Concat(found...)
	slices.Sort(all)
	twice := 0
	for i := 1; i < len(all); i++ {
		if all[i] == all[i-1] { // half a block: by chance at once in 300,000 runs
			twice++
		}
	}
	if len(all) < total*9/10 || twice > 0 {
		t.Errorf("%d blocks came twice among %d", twice, len(all))
	}
}

// Many goroutines read from one Reader while the signal keeps changing: no block twice, and a Read that starts after a
// change is under its number.
func TestManyGoroutinesWhileASignalChanges(t *testing.T) {
	page := make([]uint64, 1)
	h := newHost()
	h.clones = wordsWatch(page)
	r := newReaderOn(h)
	const goroutines, reads = 8, 2000
	var stop atomic.Bool
	var changes sync.WaitGroup
	changes.Go(func() {
		for !stop.Load() {
			before := h.clones.poll()
			atomic.AddUint64(&page[0], 1)
			if after := h.clones.poll(); after <= before {
				t.Errorf("the generation went from %d to %d over a change", before, after)
			}
		}
	})
	all := make([][]byte, goroutines)
	var readers sync.WaitGroup
	for i := range all {
		readers.Go(func() {
			for j := range reads {
				n := 16 + 16*(j%4)
				if j%100 == 0 {
					n = 8192
				}
				b := make([]byte, n)
				if _, err := r.Read(b); err != nil {
					t.Error(err)
				}
				all[i] = append(all[i], b...)
			}
		})
	}
	readers.Wait()
	stop.Store(true)
	changes.Wait()
	if anyTwice(all...) {
		t.Error("a block was read twice")
	}
}

// With the real counter, which sees real pauses: many goroutines on few CPUs are
// taken off them all the time. Under the race detector this also shows that what
// they share is shared rightly.
func TestManyGoroutinesNeverReadTheSame(t *testing.T) {
	h := newHost()
	h.clones = noDetectors()
	r := newReaderOn(h)
	const readers = 32
	rounds := 150
	if raceEnabled || testing.Short() {
		rounds = 50
	}
	stop := make(chan struct{})
	var others, reading sync.WaitGroup
	for _, disturb := range []func(){
		func() { r.reseed([]byte("again")) },
		r.deplete,
		h.clones.bump,
		func() { r.resist(true); r.resist(false) },
	} {
		others.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(200 * time.Microsecond):
					if o := r.epoch.Load(); o != nil {
						disturb()
					}
				}
			}
		})
	}
	read := make([][]byte, readers)
	for i := range read {
		reading.Go(func() {
			for range rounds {
				for _, n := range []int{16, 16, 48, 16, 1024, 16, 3008} {
					b := make([]byte, n)
					if _, err := r.Read(b); err != nil {
						t.Error(err)
						return
					}
					read[i] = append(read[i], b...)
				}
			}
		})
	}
	reading.Wait()
	close(stop)
	others.Wait()
	if anyTwice(read...) {
		t.Error("a block was read twice")
	}
}
