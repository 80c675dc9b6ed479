package rand

import (
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// wordsWatch watches plain memory, the way clone signals are watched.
func wordsWatch(words []uint64) *cloneWatch {
	w := noDetectors()
	watch := make([]int, len(words))
	for i := range watch {
		watch[i] = i
	}
	w.signals = wordsSignal(words, watch, nil)
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
		before := w.current()
		c.change()
		if c.moves {
			want++
		}
		if w.still(before) == c.moves {
			t.Errorf("%s: still says %t", c.name, !c.moves)
		}
		for _, look := range []func() uint64{w.number, w.poll, w.number, func() uint64 { return w.current().number }} {
			if got := look(); got != want {
				t.Errorf("%s: number %d, want %d", c.name, got, want)
			}
		}
		if now := w.current(); !w.still(now) || (now == before) == c.moves {
			t.Errorf("%s: still does not agree with the number %d", c.name, want)
		}
	}
	// While there is a page, the PID is looked at when something has changed.
	if w.bump(); w.number() != want+1 {
		t.Errorf("after bump: number %d, want %d", w.number(), want+1)
	}
}

// A fork and a signal between two looks are one step, and neither hides the other. What
// moves without a clone, a hint or a bump, is counted as neither.
func TestForksAndClonesAreCounted(t *testing.T) {
	words := make([]uint64, 2)
	page := new(uint64)
	w := wordsWatch(words)
	w.signals = wordsSignal(words, []int{0}, []int{1})
	w.forkPage = func() (*uint64, string) { return page, "" }
	w.number()
	for i, c := range []struct {
		change        func()
		forks, clones uint64
	}{
		{func() { words[0]++ }, 0, 1},
		{func() { *page = 0 }, 1, 1},
		{func() { words[0]++ }, 1, 2},
		{func() { *page = 0; words[0]++ }, 2, 3},
		{func() { words[1]++ }, 2, 3},
		{func() { *page = 0; words[1]++ }, 3, 3},
		{func() { w.bump() }, 3, 3},
	} {
		c.change()
		if g := w.current(); g.forks != c.forks || w.forks() != c.forks || g.clones != c.clones || g.number != uint64(i)+2 {
			t.Errorf("step %d: number %d, %d forks, %d clones, want %d, %d, %d", i, g.number, g.forks, g.clones, i+2, c.forks, c.clones)
		}
	}
}

// A worker of a restored pre-fork server learns of its fork and of the restore at once. Its
// NV seed was cloned, and so was the parent's: both say so.
func TestAForkDoesNotHideAClone(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(words []uint64, page *uint64)
		want   error
	}{
		{"a clone", func(words []uint64, _ *uint64) { words[0]++ }, ErrCloned},
		{"a fork and a clone", func(words []uint64, page *uint64) { *page = 0; words[0]++ }, ErrCloned},
		{"a fork", func(_ []uint64, page *uint64) { *page = 0 }, nil},
		{"a migration", func(words []uint64, _ *uint64) { words[1]++ }, nil},
	} {
		words, page := make([]uint64, 2), new(uint64)
		h := newHost()
		h.clones = noDetectors()
		h.clones.forkPage = func() (*uint64, string) { return page, "" }
		h.clones.signals = wordsSignal(words, []int{0}, []int{1})
		nv, _ := newSeed(t)
		g, err := newGenerator(&Config{Entropy: nv}, h)
		if err != nil {
			t.Fatal(err)
		}
		c.change(words, page)
		if _, err := g.Read(make([]byte, 16)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

// A checkpoint tool has restored the fork page without its advice: the child finds it as it
// was, and only the process ID tells. It is looked at after a pause of 10 ms.
func TestTheProcessIDIsLookedAtBesideThePage(t *testing.T) {
	w := newWorld(0)
	h := w.host()
	page, pid, advised := new(uint64), 1, 0
	h.clones.forkPage = func() (*uint64, string) { return page, "" }
	h.clones.wipeOnFork = func(p *uint64) string { advised++; return "" }
	h.clones.identity = func() int { return pid }
	r := newPool(h, 1)
	readN(t, r, 16)
	readN(t, r, 16)
	before := advised
	pid = 2
	w.counter += 9 * ms
	readN(t, r, 16)
	if h.clones.forks() != 0 || advised != before {
		t.Errorf("after 9 ms: %d forks, advised %d times", h.clones.forks(), advised-before)
	}
	w.counter += 11 * ms
	readN(t, r, 16)
	if h.clones.forks() != 1 || advised == before {
		t.Errorf("after 11 ms: %d forks, advised %d times", h.clones.forks(), advised-before)
	}
	// Once more a little later, and then no more.
	w.counter += 9 * ms
	readN(t, r, 16)
	for before, i := advised, 0; i < 3; i++ {
		w.counter += ms
		if readN(t, r, 16); advised != before {
			t.Fatal("each Read after any pause advises the page")
		}
	}
	// Where the page cannot be advised any more, each poll looks at the process ID.
	h.clones.wipeOnFork = func(p *uint64) string { return "refused" }
	w.counter += 11 * ms
	told := make(chan uint64, 1)
	defer h.clones.onClone(func(generation uint64) { told <- generation })()
	number := h.clones.poll()
	readN(t, r, 16)
	if h.clones.poll() != number || h.clones.last.Load().pageWhy() != "refused" {
		t.Errorf("generation %d after %d: that a page is not trusted is no event", h.clones.poll(), number)
	}
	pid = 3
	if h.clones.poll(); h.clones.forks() != 2 {
		t.Error("the process ID is not polled though the page is not trusted")
	}
	wantTold(t, told, number+1)
	h.clones.wipeOnFork = func(p *uint64) string { return "" }
	w.counter += 11 * ms
	if readN(t, r, 16); h.clones.last.Load().pageWhy() != "" {
		t.Error("the page is not trusted again after it was advised")
	}
}

// The same where the pause falls into a Read, and no fork with it.
func TestAPauseInAReadIsFollowed(t *testing.T) {
	for _, size := range []int{16, 1024, 5000} {
		for at, more := 0, true; more; at++ {
			for fork := range 2 {
				w := newWorld(0)
				h := w.host()
				page, pid, advised := new(uint64), 0, 0
				h.clones.forkPage = func() (*uint64, string) { return page, "" }
				h.clones.wipeOnFork = func(p *uint64) string { advised++; return "" }
				h.clones.identity = func() int { return pid }
				r := newPool(h, 1)
				readN(t, r, 16)
				exhaust(t, r)
				r.deplete()
				before, first := advised, w.looks
				more = false
				w.before = func(look int) {
					if look == first+at {
						w.counter += 11 * ms
						pid, more = fork, true
					}
				}
				if readN(t, r, size); !more {
					break
				}
				readN(t, r, 16)
				readN(t, r, 16)
				if h.clones.forks() != uint64(fork) || advised == before {
					t.Errorf("Read of %d, 11 ms before look %d: %d forks, want %d; advised %d times", size, at, h.clones.forks(), fork, advised-before)
				}
				w.counter += 2 * ms
				readN(t, r, 16) // the look a little later
				before = advised
				w.counter += 2 * ms
				if readN(t, r, 16); advised != before {
					t.Errorf("Read of %d, 11 ms before look %d: the page is advised again and again", size, at)
				}
			}
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
				w.still(w.last.Load())
				last = n
			}
		})
	}
	for i := range uint64(changes) {
		seen := w.current()
		before := seen.number
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
		if w.still(seen) {
			t.Fatalf("change %d: still says that nothing has changed", i)
		}
		if n := w.number(); n != before+1 {
			t.Fatalf("change %d: the number moved from %d to %d", i, before, n)
		}
	}
	stop.Store(true)
	wg.Wait()
}

// The counter was set back once. Each state finds its last reading in the future, and all but
// the first of them know why.
func TestOneSetBackIsOneEvent(t *testing.T) {
	w := newWorld(0)
	h := w.host()
	var gs []*Generator
	for range 50 {
		g, err := newGenerator(&Config{}, h)
		if err != nil {
			t.Fatal(err)
		}
		readN(t, g, 16)
		gs = append(gs, g)
	}
	number := h.clones.poll()
	setBack := func(by uint64) {
		t.Helper()
		w.counter -= by
		seeded := w.seeded
		for range 2 {
			for _, g := range gs {
				readN(t, g, 16)
			}
		}
		if number++; h.clones.poll() != number {
			t.Errorf("generation %d after a counter was set back once, want %d", h.clones.poll(), number)
		}
		number = h.clones.poll()
		if n := w.seeded - seeded; n != len(gs) {
			t.Errorf("%d seedings of %d generators", n, len(gs))
		}
	}
	setBack(1000 * ms)
	setBack(1000 * ms)
	// Again, before all have heard of the last time.
	w.counter -= 1000 * ms
	for _, g := range gs[:10] {
		readN(t, g, 16)
	}
	number++
	setBack(500 * ms)
	// And where those see it first that have not heard of the last time.
	w.counter -= 1000 * ms
	for _, g := range gs[:10] {
		readN(t, g, 16)
	}
	number++
	slices.Reverse(gs)
	setBack(500 * ms)
}

// The counters of two CPUs differ by 5 us, and a goroutine moves to and fro. That is no
// counter to be used, and no news for OnClone for ever.
func TestCountersThatDifferBetweenCPUs(t *testing.T) {
	w := newWorld(0)
	h := w.host()
	cpu := uint64(0)
	h.pause.read = func() uint64 { return w.read() + cpu*5*us }
	h.pause.readFenced = h.pause.read
	r := newPool(h, 2)
	for i := range uint64(10_000) {
		cpu = i & 1
		readN(t, r.only(int(i/2)&1), 16)
	}
	if n := h.clones.poll(); n > 200 || h.pause.usable() != nil {
		t.Errorf("after 5,000 times there and back: generation %d, usable: %v", n, h.pause.usable() != nil)
	}
	if why := h.pause.limits.Load().why; !strings.Contains(why, "went back") {
		t.Errorf("the report says %q", why)
	}
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

// One who is late with arming the page does not put the value there by which the
// next fork would go unseen.
func TestALateLookDoesNotHideAFork(t *testing.T) {
	page := new(uint64)
	w := noDetectors()
	w.forkPage = func() (*uint64, string) { return page, "" }
	n := w.number()
	late := w.last.Load() // where a goroutine is stopped that has just seen the fork
	*page = 0
	if got := w.number(); got != n+1 {
		t.Fatalf("after a fork the number is %d, want %d", got, n+1)
	}
	*page = 0
	w.next(late) // it goes on in the child of that child; what it finds is not taken
	if got := w.number(); got != n+2 {
		t.Errorf("after the second fork the number is %d, want %d", got, n+2)
	}
	if w.forks() != 2 {
		t.Errorf("%d forks, want 2", w.forks())
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

// hooked is a host whose one clone signal is word 0, and a channel of what OnClone tells.
func hooked(t *testing.T) (h *host, words []uint64, told chan uint64, stop func() bool) {
	t.Helper()
	words = make([]uint64, 1)
	h = newHost()
	h.clones = wordsWatch(words)
	told = make(chan uint64, 100)
	return h, words, told, h.clones.onClone(func(generation uint64) { told <- generation })
}

func wantTold(t *testing.T, told chan uint64, want uint64) {
	t.Helper()
	select {
	case got := <-told:
		if got != want {
			t.Errorf("told of generation %d, want %d", got, want)
		}
	case <-time.After(10 * time.Second):
		t.Fatalf("not told of generation %d", want)
	}
}

func TestOnCloneIsToldByAReadAGenerationAndThePoll(t *testing.T) {
	for name, look := range map[string]func(h *host){
		"a Read":       func(h *host) { newReaderOn(h).Read(make([]byte, 16)) },
		"a Generation": func(h *host) { h.clones.poll() },
		"the poll":     func(*host) {},
	} {
		t.Run(name, func(t *testing.T) {
			h, words, told, stop := hooked(t)
			defer stop()
			for i := range uint64(3) {
				atomic.AddUint64(&words[0], 1)
				look(h)
				wantTold(t, told, i+2)
			}
			time.Sleep(2 * hookPoll)
			if len(told) != 0 {
				t.Error("told twice of one event")
			}
		})
	}
}

func TestOnCloneIsToldOfAFork(t *testing.T) {
	for name, page := range map[string]*uint64{"no page": nil, "a page that was restored without its advice": new(uint64)} {
		t.Run(name, func(t *testing.T) {
			var pid atomic.Int64
			w := noDetectors()
			if page != nil {
				w.forkPage = func() (*uint64, string) { return page, "" }
			}
			w.identity = func() int { return int(pid.Load()) }
			told := make(chan uint64, 1)
			defer w.onClone(func(generation uint64) { told <- generation })()
			pid.Store(7)
			wantTold(t, told, 2)
		})
	}
}

// Of those who see the same event one tells of it, and who is late tells nothing.
func TestOnCloneIsToldOncePerEvent(t *testing.T) {
	told := make(chan uint64, 10_000)
	h := &cloneHook{f: func(generation uint64) { told <- generation }}
	const events = 1000
	for number := range uint64(events) {
		var ready atomic.Int32
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				for ready.Add(1); ready.Load() < 2; {
					runtime.Gosched() // there may be one CPU
				}
				h.tell(number + 1)
			})
		}
		wg.Wait()
		h.tell(number)
	}
	seen := make(map[uint64]bool)
	for range events {
		select {
		case number := <-told:
			seen[number] = true
		case <-time.After(10 * time.Second):
			t.Fatalf("told of %d events", len(seen))
		}
	}
	time.Sleep(10 * time.Millisecond)
	if len(seen) != events || len(told) != 0 {
		t.Errorf("told %d times more than of %d events", len(told)+events-len(seen), events)
	}
}

func TestOnCloneStops(t *testing.T) {
	h, words, told, stop := hooked(t)
	if !stop() || stop() {
		t.Error("stop does not report whether it ended the registration")
	}
	atomic.AddUint64(&words[0], 1)
	h.clones.poll()
	time.Sleep(3 * hookPoll)
	if len(told) != 0 {
		t.Error("told after stop")
	}
	atomic.AddUint64(&words[0], 1)
	time.Sleep(3 * hookPoll)
	if h.clones.last.Load().number != 2 {
		t.Error("the detectors are looked at for nobody")
	}
	again := make(chan uint64, 1)
	defer h.clones.onClone(func(generation uint64) { again <- generation })()
	atomic.AddUint64(&words[0], 1)
	wantTold(t, again, 4)
}

// What a bubble of testing/synctest starts must end in it. A function that is registered
// there, and stopped, leaves nothing running; those that were registered elsewhere go on.
func TestOnCloneInABubble(t *testing.T) {
	for _, before := range []bool{false, true} {
		words := make([]uint64, 1)
		w := wordsWatch(words)
		outside := make(chan uint64, 10)
		register := func() func() bool {
			return w.onClone(func(generation uint64) { outside <- generation })
		}
		if before {
			defer register()()
		}
		synctest.Test(t, func(t *testing.T) {
			told := make(chan uint64, 10)
			stop := w.onClone(func(generation uint64) { told <- generation })
			if !before {
				time.Sleep(10 * hookPoll)
				atomic.AddUint64(&words[0], 1)
				time.Sleep(2 * hookPoll)
				if len(told) != 1 {
					t.Error("not told")
				}
			}
			if !stop() {
				t.Error("it was not registered")
			}
		})
		if !before {
			defer register()()
		}
		for range 2 {
			want := w.number() + 1
			atomic.AddUint64(&words[0], 1)
			wantTold(t, outside, want)
		}
	}
}

// Who has noticed an event before stop was called, and comes to the hook afterwards, does not
// call it. Two that stop at once do not both report that they did.
func TestOnCloneStopIsTheEnd(t *testing.T) {
	for range 1000 {
		w := noDetectors()
		told := make(chan uint64, 2)
		stop := w.onClone(func(generation uint64) { told <- generation })
		noticed := w.hooks.all()
		ended := make(chan bool, 2)
		for range 2 {
			go func() { ended <- stop() }()
		}
		if a, b := <-ended, <-ended; a == b {
			t.Fatalf("of two that stop at once %v and %v report that they did", a, b)
		}
		for _, h := range noticed {
			h.tell(2)
		}
		runtime.Gosched()
		if len(told) != 0 {
			t.Fatal("called after stop has returned")
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("a nil function is taken, and the program dies at the first clone")
		}
	}()
	OnClone(nil)
}

func TestOnCloneIsToldOfWhatNoDetectorShows(t *testing.T) {
	w := noDetectors()
	w.bump() // finds the detectors, as any first look does
	told := make(chan uint64, 1)
	defer w.onClone(func(generation uint64) { told <- generation })()
	w.bump()
	wantTold(t, told, 3)
}

// An event in the middle of the registration is told, too.
func TestOnCloneIsToldOfAnEventWhileItRegisters(t *testing.T) {
	w := noDetectors()
	w.current()
	looks := 0
	w.identity = func() int {
		if looks++; looks == 1 { // the number of before is known by now
			w.bump()
		}
		return 1
	}
	told := make(chan uint64, 1)
	defer w.onClone(func(generation uint64) { told <- generation })()
	wantTold(t, told, 2)
}

// Many register, stop and read while the signal moves: each that stays is told of the
// last event.
func TestOnCloneUnderLoad(t *testing.T) {
	h, words, _, stop := hooked(t)
	defer stop()
	const hooks, events = 20, 50
	latest := make([]atomic.Uint64, hooks)
	var wg sync.WaitGroup
	for i := range hooks {
		wg.Go(func() {
			for range 10 {
				h.clones.onClone(func(uint64) {})()
			}
			h.clones.onClone(func(generation uint64) {
				for old := latest[i].Load(); old < generation && !latest[i].CompareAndSwap(old, generation); {
					old = latest[i].Load()
				}
			})
		})
	}
	wg.Wait()
	for range events {
		atomic.AddUint64(&words[0], 1)
		h.clones.poll()
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		missing := 0
		for i := range latest {
			if latest[i].Load() != events+1 {
				missing++
			}
		}
		if missing == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d of %d were not told of the last event", missing, hooks)
		}
	}
}
