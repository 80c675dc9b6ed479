package rand

import (
	"sync"
	"sync/atomic"
	"testing"
)

// forkedHost is a host of a child that knows of its fork.
func forkedHost(t *testing.T) *host {
	t.Helper()
	page := new(uint64)
	h := newHost()
	h.clones = noDetectors()
	h.clones.forkPage = func() (*uint64, string) { return page, "" }
	h.clones.poll()
	atomic.StoreUint64(page, 0)
	if forks := h.clones.current().forks; forks != 1 {
		t.Fatalf("%d forks were noticed", forks)
	}
	return h
}

// A lock held in the child is nobody's who was left behind: two goroutines take turns
// at their first Reads, and read from Entropy one after the other.
func TestALiveHolderIsNotTakenForAbandoned(t *testing.T) {
	h := forkedHost(t)
	var in, twice atomic.Int64
	source := readerFunc(func(b []byte) (int, error) {
		if in.Add(1) > 1 {
			twice.Add(1)
		}
		for range 200 {
			in.Add(0)
		}
		in.Add(-1)
		return len(b), nil
	})
	rounds := 50_000
	if raceEnabled {
		rounds = 1000 // each takes so long that two rarely meet: this is for the detector
	}
	for range rounds {
		g, err := newGenerator(&Config{Entropy: source, PredictionResistance: true}, h)
		if err != nil {
			t.Fatal(err)
		}
		g.inst.Load().lock.forks = 0 // as if it came from the parent
		var wg sync.WaitGroup
		var ready atomic.Int32
		for range 2 {
			wg.Go(func() {
				ready.Add(1)
				for spin := 0; ready.Load() < 2 && spin < 100_000; spin++ {
				}
				g.Read(make([]byte, 16))
			})
		}
		wg.Wait()
	}
	if n := twice.Load(); n > 0 {
		t.Errorf("%d times two goroutines read from Entropy at once", n)
	}
}

// Who finds a lock held from before the fork and who has just got it agree on whose it
// is, and a lock that was given up is never got again.
func TestAnAbandonedLockIsGoneForGood(t *testing.T) {
	w := forkedHost(t).clones
	l := &forkLock{held: 1}
	if l.abandoned(0) {
		t.Error("abandoned, for who does not know of the fork")
	}
	for range 2 {
		if !l.abandoned(w.forks()) {
			t.Error("not abandoned, though it is held from before the fork")
		}
	}
	l.unlock() // by the holder, if a goroutine of the parent goes on in the child
	if l.tryLock(w) {
		t.Error("got after somebody else has taken the place")
	}

	l = new(forkLock)
	if !l.tryLock(w) || l.abandoned(w.forks()) || l.abandoned(0) {
		t.Error("a lock that was got after the fork counts as abandoned")
	}
	l.unlock()
	if !l.tryLock(w) {
		t.Error("not to be had after its unlock")
	}
}

// A goroutine that learned of no fork yet does not bring back the gate of before it.
func TestTheGateIsTheNewest(t *testing.T) {
	old := gate.Load()
	defer gate.Store(old)
	newest := &forkGate{forks: thisHost().clones.current().forks + 1}
	gate.Store(newest)
	g := enterGate()
	if g != newest {
		t.Fatal("another gate")
	}
	if enterGate() != nil {
		t.Error("two are in")
	}
	g.leave()
}
