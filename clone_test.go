package rand

import (
	"bytes"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
)

// wordsWatch watches plain memory, the way clone signals are watched.
func wordsWatch(words []uint64) *cloneWatch {
	w := noDetectors()
	watch := make([]int, len(words))
	for i := range watch {
		watch[i] = i
	}
	w.signals = []func() signal{func() signal { return signal{name: "test", memory: words, watch: watch} }}
	return w
}

func TestTheNumberMovesOncePerChange(t *testing.T) {
	words := make([]uint64, 3)
	page := new(uint64)
	pid := 100
	w := wordsWatch(words)
	w.forkPage = func() (*uint64, string) { return page, "" }
	w.identity = func() int { return pid }
	want := w.number()
	if want == 0 {
		t.Fatal("the number starts at 0, which stands for an unseeded state")
	}
	for _, c := range []struct {
		name   string
		change func()
		moves  bool
	}{
		{"nothing", func() {}, false},
		{"a word", func() { words[0]++ }, true},
		{"nothing after it", func() {}, false},
		{"another word", func() { words[2] = 77 }, true},
		{"two words at once", func() { words[0]++; words[1]++ }, true},
		{"two words whose sum stays", func() { words[0]++; words[1]-- }, true},
		{"a word that goes back", func() { words[2] = 0 }, true},
		{"the page is wiped", func() { *page = 0 }, true},
		{"nothing after the page", func() {}, false},
		{"the page is wiped again", func() { *page = 0 }, true},
		{"a word while the page holds", func() { words[1] = 5 }, true},
		{"the page is wiped once more", func() { *page = 0 }, true},
		{"the page and a word", func() { *page = 0; words[0]++ }, true},
	} {
		c.change()
		if c.moves {
			want++
		}
		if w.still(want) != true && !c.moves {
			t.Errorf("%s: still says that the number has moved", c.name)
		}
		for _, look := range []func() uint64{w.number, w.poll, w.number, func() uint64 { return w.current().number }} {
			if got := look(); got != want {
				t.Errorf("%s: number %d, want %d", c.name, got, want)
			}
		}
		if !w.still(want) || w.still(want-1) || w.still(want+1) {
			t.Errorf("%s: still does not agree with the number %d", c.name, want)
		}
	}
	// While there is a page, the PID is looked at when something has changed.
	if w.bump(); w.number() != want+1 {
		t.Errorf("after bump: number %d, want %d", w.number(), want+1)
	}
}

func TestForksAreCounted(t *testing.T) {
	words := make([]uint64, 1)
	page := new(uint64)
	w := wordsWatch(words)
	w.forkPage = func() (*uint64, string) { return page, "" }
	w.number()
	for i, c := range []struct {
		change func()
		forks  uint64
	}{
		{func() { words[0]++ }, 0},
		{func() { *page = 0 }, 1},
		{func() { words[0]++ }, 1},
		{func() { *page = 0; words[0]++ }, 2},
		{func() { w.bump() }, 2},
	} {
		if c.change(); w.current().forks != c.forks || w.forks() != c.forks {
			t.Errorf("step %d: %d forks, want %d", i, w.forks(), c.forks)
		}
	}
}

func TestTheProcessIDIsPolledWhereThereIsNoPage(t *testing.T) {
	pid := 1
	w := noDetectors()
	w.identity = func() int { return pid }
	n := w.poll()
	if pid = 2; w.poll() != n+1 || w.forks() != 1 {
		t.Errorf("another PID: number %d, want %d", w.poll(), n+1)
	}
	if pid = 1; w.poll() != n+2 || w.forks() != 2 {
		t.Errorf("the first PID again: number %d, want %d", w.poll(), n+2)
	}
}

// With everybody looking while words change: the number moves once for each
// change and never down, for any goroutine.
func TestTheNumberUnderConcurrentLooks(t *testing.T) {
	const changes, lookers = 3000, 16
	words := make([]uint64, 2)
	page := new(uint64)
	w := wordsWatch(words)
	w.forkPage = func() (*uint64, string) { return page, "" }
	first := w.number()
	var stop atomic.Bool
	var wg sync.WaitGroup
	for i := range lookers {
		look := []func() uint64{w.number, w.poll, func() uint64 { return w.current().number }, func() uint64 { return w.look().number }}[i%4]
		wg.Go(func() {
			last := uint64(0)
			for !stop.Load() {
				n := look()
				if n < last {
					t.Errorf("the number went down from %d to %d", last, n)
					return
				}
				w.still(n)
				last = n
			}
		})
	}
	for i := range uint64(changes) {
		before := w.number()
		if before != first+i {
			t.Fatalf("after %d changes the number is %d, want %d", i, before, first+i)
		}
		switch i % 3 {
		case 0:
			atomic.AddUint64(&words[0], 1)
		case 1:
			atomic.AddUint64(&words[1], ^uint64(0))
		case 2:
			atomic.StoreUint64(page, 0)
		}
		if w.still(before) {
			t.Fatalf("change %d: still says that nothing has changed", i)
		}
		if n := w.number(); n != before+1 {
			t.Fatalf("change %d: the number moved from %d to %d", i, before, n)
		}
	}
	stop.Store(true)
	wg.Wait()
}

// One who is late with a change that another has seen, and the next one too, does
// not turn the number back. The process ID is asked in the middle of a look.
func TestALateLookDoesNotTurnTheNumberBack(t *testing.T) {
	words := make([]uint64, 1)
	w := wordsWatch(words)
	others := func() {}
	w.identity = func() int {
		do := others
		others = func() {}
		do()
		return 1
	}
	first := w.number()
	for _, meanwhile := range []int{1, 2, 5} {
		words[0]++
		others = func() {
			for range meanwhile {
				w.number()
				words[0]++
				w.number()
			}
		}
		before := w.last.Load().number
		if n := w.number(); n != before+1+uint64(meanwhile) {
			t.Errorf("with %d changes meanwhile the number is %d, want %d (it began at %d)", meanwhile, n, before+1+uint64(meanwhile), first)
		}
	}
}

// Changes from many goroutines: each sees the number move past its own change, and
// the number never counts more changes than there were.
func TestTheNumberUnderConcurrentChanges(t *testing.T) {
	words := make([]uint64, 8)
	w := wordsWatch(words)
	first := w.number()
	var wg sync.WaitGroup
	const each = 500
	for i := range words {
		wg.Go(func() {
			for range each {
				before := w.number()
				atomic.AddUint64(&words[i], 1)
				if n := w.number(); n <= before {
					t.Errorf("number %d before a change and %d after it", before, n)
				}
			}
		})
	}
	wg.Wait()
	if n := w.number(); n < first+each || n > first+uint64(len(words))*each {
		t.Errorf("the number moved by %d for %d changes", n-first, len(words)*each)
	}
}

// TestNoByteFromBeforeAnEvent: an event at any reading of the counter in a Read
// (they lie between the bytes and the check) or in the middle of a seeding: what the
// Read returns comes from a state that was seeded after it.
func TestNoByteFromBeforeAnEvent(t *testing.T) {
	for _, kind := range []string{"default reader", "Generator with its own source"} {
		for _, size := range []int{16, 1000, 5000} {
			for _, depleted := range []bool{false, true} {
				name := fmt.Sprintf("%s, %d bytes, depleted %v", kind, size, depleted)
				// at counts the places where an event can be put, over the whole Read.
				plain, places, _ := readWithEvent(t, kind, size, depleted, -1)
				again, _, _ := readWithEvent(t, kind, size, depleted, -1)
				if kind != "default reader" && !bytes.Equal(plain, again) {
					t.Errorf("%s: not deterministic: this shows little", name)
				}
				if places == 0 && (kind == "default reader" || depleted) {
					t.Errorf("%s: no place for an event", name)
				}
				for at := range places {
					out, _, seededAfter := readWithEvent(t, kind, size, depleted, at)
					if !seededAfter {
						t.Errorf("%s: an event at place %d of %d, and no seeding after it", name, at, places)
					}
					if bytes.Equal(out, plain) {
						t.Errorf("%s: the event at place %d of %d changes nothing", name, at, places)
					}
				}
			}
		}
	}
}

// readWithEvent does one Read in which the watched word changes at a place: each
// reading of the counter and each seeding is one.
func readWithEvent(t *testing.T, kind string, size int, depleted bool, at int) (out []byte, places int, seededAfter bool) {
	words := make([]uint64, 1)
	watching, happened := false, false
	place := func() {
		if !watching {
			return
		}
		if places == at {
			words[0]++
			happened, seededAfter = true, false
		}
		places++
	}
	s := newSource("s")
	h := quietHost(s)
	h.clones = wordsWatch(words)
	// 100 ns a reading of 1 GHz, so that nothing counts as a pause.
	c := &fakeCounter{step: 100}
	h.pause = c.detector()
	h.pause.read = func() uint64 { place(); return c.read() }
	h.pause.readFenced = h.pause.read
	h.random = steadyWords()
	s.onDraw = func(int) {
		seededAfter = true // drawn after the event, unless it comes in the middle:
		place()
	}
	var x randomness
	if kind == "default reader" {
		x = readerKind(kind, newReaderOn(h), s)
	} else {
		x = generatorKind(t, kind, &Config{Entropy: s}, h, s)
	}
	x.must(t, 16)
	if depleted {
		x.Deplete()
	}
	watching = true
	out = x.must(t, size)
	watching = false
	if happened && !seededAfter {
		return out, places, false
	}
	return out, places, true
}

// steadyWords is a random instruction that is always the same.
func steadyWords() func() (uint64, bool) {
	x := uint64(1)
	return func() (uint64, bool) {
		x = x*0x9E3779B97F4A7C15 + 1
		return x, true
	}
}

// An event at every single seeding: the retries end, and what comes out then is
// covered by bytes of the operating system.
func TestEventsWithoutEnd(t *testing.T) {
	for _, size := range []int{16, 5000} {
		for _, kind := range []string{"default reader", "Generator with its own source"} {
			words := make([]uint64, 1)
			s, system := newSource("s"), newSource("system")
			h := quietHost(system)
			if kind == "default reader" {
				s = system
			}
			h.clones = wordsWatch(words)
			s.onDraw = func(int) { atomic.AddUint64(&words[0], 1) }
			var x randomness
			if kind == "default reader" {
				x = readerKind(kind, newReaderOn(h), s)
			} else {
				x = generatorKind(t, kind, &Config{Entropy: s}, h, s)
			}
			s.E()
			system.others = 0
			x.must(t, size)
			if e := s.E(); e > maxTries+1 {
				t.Errorf("%s, %d bytes: %d seedings for one Read, want no more than %d", kind, size, e, maxTries)
			}
			covered := system.others*entropyLen >= size || system.E()*entropyLen >= size-entropyLen
			if kind != "default reader" && !covered {
				t.Errorf("%s, %d bytes: no operating-system bytes over it", kind, size)
			}
			s.onDraw = nil
			s.E()
			x.must(t, 16)
			if e := s.E(); e == 0 {
				t.Errorf("%s, %d bytes: the next Read does not start anew", kind, size)
			}
		}
	}
}

// Words change without end while many goroutines read: nothing repeats, nothing hangs.
func TestReadsUnderConcurrentEvents(t *testing.T) {
	words := make([]uint64, 1)
	h := newHost()
	h.clones = wordsWatch(words)
	r := newReaderOn(h)
	g, err := newGenerator(&Config{Entropy: newSource("own")}, h)
	if err != nil {
		t.Fatal(err)
	}
	var stop atomic.Bool
	var wg, changer sync.WaitGroup
	changer.Go(func() {
		for !stop.Load() {
			atomic.AddUint64(&words[0], 1)
			backOff(0)
		}
	})
	found := make([][]uint64, 16)
	for i := range found {
		read := []readFunc{r.Read, g.Read}[i%2]
		wg.Go(func() {
			b := make([]byte, 2048)
			for n := range 300 {
				part := b[:[]int{16, 48, 2048}[n%3]]
				if _, err := read(part); err != nil {
					t.Error(err)
				}
				found[i] = blocks(found[i], part)
			}
		})
	}
	wg.Wait()
	stop.Store(true)
	changer.Wait()
	seen := map[uint64]bool{}
	for _, f := range found {
		for _, x := range f {
			if seen[x] {
				t.Fatal("a block came twice")
			}
			seen[x] = true
		}
	}
}
