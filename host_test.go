package rand

import (
	"bytes"
	cryptorand "crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestEntropySources: a source that does not behave is ErrEntropy and never a hang.
func TestEntropySources(t *testing.T) {
	cause := errors.New("cause")
	full := bytes.Repeat([]byte{1, 2, 3}, 16)
	once := func(b []byte) func([]byte) (int, error) {
		r := bytes.NewReader(b)
		return r.Read
	}
	for _, c := range []struct {
		name  string
		read  func([]byte) (int, error)
		cause error // nil: it works
	}{
		{"in one piece", once(full), nil},
		{"in two pieces", io.MultiReader(bytes.NewReader(full[:20]), bytes.NewReader(full[20:])).Read, nil},
		{"byte by byte", iotest.OneByteReader(bytes.NewReader(full)).Read, nil},
		{"the error beside the last bytes", iotest.DataErrReader(bytes.NewReader(full)).Read, nil},
		{"99 empty reads before the bytes", emptyReads(99, once(full)), nil},
		{"99 empty reads before each of two pieces", emptyReads(99, halves(full)), nil},
		{"empty at once", once(nil), io.EOF},
		{"short by one", once(full[:47]), io.ErrUnexpectedEOF},
		{"no bytes for ever", func([]byte) (int, error) { return 0, nil }, io.ErrNoProgress},
		{"100 empty reads", emptyReads(100, once(full)), io.ErrNoProgress},
		{"no bytes for ever after the first half", emptyAfter(full[:24]), io.ErrNoProgress},
		{"an error in the middle", io.MultiReader(bytes.NewReader(full[:20]), iotest.ErrReader(cause)).Read, cause},
		{"an error at once", iotest.ErrReader(cause).Read, cause},
		{"more than was asked for", func(b []byte) (int, error) { return len(b) + 1, nil }, ErrEntropy},
		{"fewer than none", func(b []byte) (int, error) { return -1, nil }, ErrEntropy},
	} {
		t.Run(c.name, func(t *testing.T) {
			done := make(chan error, 1)
			go func() {
				g, err := New(&Config{Entropy: readerFunc(c.read)})
				if err == nil {
					_, err = g.Read(make([]byte, 16))
				} else if g != nil {
					t.Error("a Generator beside an error")
				}
				done <- err
			}()
			select {
			case err := <-done:
				switch {
				case c.cause == nil && err != nil:
					t.Errorf("error %v, want none", err)
				case c.cause != nil && (!errors.Is(err, ErrEntropy) || !errors.Is(err, c.cause)):
					t.Errorf("error %v, want ErrEntropy with %v", err, c.cause)
				}
			case <-time.After(10 * time.Second):
				t.Fatal("hangs")
			}
		})
	}
}

func emptyReads(n int, then func([]byte) (int, error)) func([]byte) (int, error) {
	left := n
	return func(b []byte) (int, error) {
		if left > 0 {
			left--
			return 0, nil
		}
		left = n
		return then(b)
	}
}

func emptyAfter(first []byte) func([]byte) (int, error) {
	return func(b []byte) (int, error) {
		n := copy(b, first)
		first = first[n:]
		return n, nil
	}
}

func halves(b []byte) func([]byte) (int, error) {
	return func(p []byte) (int, error) {
		n := copy(p[:min(len(p), 24)], b)
		b = b[n:]
		return n, nil
	}
}

// A seeding takes 48 bytes and not one more: the source may be a file that others
// read on.
func TestASeedingTakes48Bytes(t *testing.T) {
	r := bytes.NewReader(make([]byte, 200))
	g, err := New(&Config{Entropy: r, Personalization: bytes.Repeat([]byte("long"), 1000)})
	if err != nil {
		t.Fatal(err)
	}
	for taken := 48; taken <= 144; taken += 48 {
		if got := 200 - r.Len(); got != taken {
			t.Errorf("%d bytes taken, want %d", got, taken)
		}
		if err := g.Reseed(nil); err != nil {
			t.Fatal(err)
		}
	}
}

// uncomparable cannot be compared: that must not panic.
type uncomparable []int

func (uncomparable) Read(b []byte) (int, error) { return len(b), nil }

// To name the system source is to have it, with mixes and all.
func TestNamesOfTheSystemSource(t *testing.T) {
	own := newSource("own")
	for _, c := range []struct {
		name   string
		source io.Reader
		system bool
	}{
		{"nil", nil, true},
		{"crypto/rand's Reader", cryptorand.Reader, true},
		{"our Reader", Reader, true},
		{"a source of its own", own, false},
		{"one that cannot be compared", uncomparable(nil), false},
		{"a wrapped Reader", io.LimitReader(cryptorand.Reader, 1000), false},
	} {
		g, err := New(&Config{Entropy: c.source})
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if got := g.conf().entropy == nil; got != c.system {
			t.Errorf("%s: taken for the system source: %v, want %v", c.name, got, c.system)
		}
	}
}

// A CPU whose random instruction is stuck, as after some resumes, counts as one without.
func TestStuckRandomInstruction(t *testing.T) {
	words := func(list ...uint64) func() (x, y uint64, ok bool) {
		return inPairs(func() (uint64, bool) {
			x := list[0]
			list = append(list[1:], x)
			return x, true
		})
	}
	failures := func(n int) func() (x, y uint64, ok bool) {
		return func() (x, y uint64, ok bool) {
			n--
			return 3, 4, n < 0
		}
	}
	for _, c := range []struct {
		name   string
		random func() (x, y uint64, ok bool)
		want   bool
	}{
		{"works", words(1, 2), true},
		{"all zeros", words(0), false},
		{"all zeros in the first", words(0, 7), false},
		{"all ones", words(^uint64(0)), false},
		{"the same again", words(7), false},
		{"ones in the second", words(7, ^uint64(0)), false},
		{"none at all", nil, false},
		{"never ready", func() (x, y uint64, ok bool) { return 5, 6, false }, false},
		{"not ready for the second", inPairs(alternating()), false},
		{"ready at the last try", failures(cpuRandomTries - 1), true},
		{"ready after it", failures(cpuRandomTries), false},
	} {
		h := &host{random: c.random}
		if _, _, ok := h.draw(); ok != c.want {
			t.Errorf("%s: usable %v, want %v", c.name, ok, c.want)
		}
		if got := len(h.cpuInput(nil)); !c.want && got != 0 && c.name != "ready after it" {
			t.Errorf("%s: %d bytes of it go into a seeding", c.name, got)
		}
	}
}

// alternating is ready every other time.
func alternating() func() (uint64, bool) {
	x := uint64(1)
	return func() (uint64, bool) {
		x++
		return x, x%2 == 0
	}
}

func TestEventInputTellsInstancesApart(t *testing.T) {
	w := newWorld(0)
	h := w.host()
	page := []uint64{7, 8, 9}
	h.clones.identity = func() int { return 4711 }
	h.clones.signals = wordsSignal(page, []int{0}, nil)
	words := func() (x []uint64) {
		b := h.eventInput([]byte{1, 2, 3})
		if !bytes.Equal(b[:3], []byte{1, 2, 3}) {
			t.Fatalf("what was there is not there any more: % x", b[:3])
		}
		for b = b[3:]; len(b) >= 8; b = b[8:] {
			x = append(x, binary.LittleEndian.Uint64(b))
		}
		return x
	}
	before := w.clock().UnixNano()
	x := words()
	if len(x) != 7 {
		t.Fatalf("%d words: %v", len(x), x)
	}
	if x[0] != 4711 || int64(x[1]) < before || int64(x[1]) > w.clock().UnixNano() || x[3] != w.counter {
		t.Errorf("PID, clock or counter are wrong: %v", x)
	}
	if diff := cmp.Diff(page, x[4:]); diff != "" {
		t.Errorf("what the signal's memory holds:\n%s", diff)
	}
	page[1] = 80
	if y := words(); y[5] != 80 || y[3] == x[3] || y[2] <= x[2] {
		t.Errorf("the second time: %v after %v", y, x)
	}
	// A seed file is told who draws at each seeding: it may have been copied.
	for _, nv := range []*NVSeed{nil, new(NVSeed)} {
		s := newState(newConfig(h), 0)
		if s.conf.nv, s.lim = nv, h.pause.usable(); nv != nil {
			s.conf.entropy = nv
		}
		if b, _ := s.extraInput(nil, &epoch{id: 1}, false, false); (len(b) == 8*7) != (nv != nil) {
			t.Errorf("NV seed %v: %d bytes beside the entropy", nv != nil, len(b))
		}
	}
}

// After an event the kernel of a machine without a random instruction may give the
// clone's bytes for a while.
func TestReseedsAfterAnEventWithoutAnInstruction(t *testing.T) {
	tests := []struct {
		name  string
		cpu   bool
		stuck bool
		again int
	}{
		{"no instruction", false, false, 4},
		{"an instruction", true, false, 0},
		{"an instruction that is stuck", true, true, 4},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(0)
				if !tt.cpu {
					w.cpu = nil
				}
				w.stuck = tt.stuck
				h := w.host()
				r := newPool(h, 1)
				readN(t, r, 16)
				if w.seeded != 1 {
					t.Fatalf("%d seedings at first use", w.seeded)
				}
				h.clones.bump()
				readN(t, r, 16)
				if w.seeded != 2 {
					t.Fatalf("%d seedings with the event's", w.seeded)
				}
				event := time.Now()
				seedings := 0
				for _, due := range []time.Duration{time.Millisecond, 10 * time.Millisecond, 100 * time.Millisecond, time.Second} {
					for _, at := range []time.Duration{due * 9 / 10, due * 11 / 10} {
						time.Sleep(time.Until(event.Add(at)))
						w.counter += uint64(at)
						readN(t, r, 16)
						readN(t, r, 16)
						if at > due && tt.again > 0 {
							seedings++
						}
						if got := w.seeded - 2; got != seedings {
							t.Fatalf("%v after the event: %d seedings more, not %d", at, got, seedings)
						}
					}
				}
				time.Sleep(time.Hour)
				w.counter += 1e9
				readN(t, r, 16)
				if got := w.seeded - 2; got != tt.again {
					t.Errorf("%d seedings after the event's, not %d", got, tt.again)
				}
			})
		})
	}
}

// One that fails is made up for by the next Read.
func TestASeedingAfterAnEventThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(0)
		w.cpu = nil
		h := w.host()
		r := newPool(h, 1)
		readN(t, r, 16)
		h.clones.bump()
		readN(t, r, 16)
		time.Sleep(2 * time.Millisecond)
		w.counter += 2 * ms
		h.system = readerFunc(func([]byte) (int, error) { return 0, errors.New("broken") })
		if _, err := r.Read(make([]byte, 16)); err == nil {
			t.Fatal("no seeding is due")
		}
		h.system = w
		seeded := w.seeded
		if readN(t, r, 16); w.seeded == seeded {
			t.Error("the seeding that failed is forgotten")
		}
	})
}

func TestAFailingSystemGivesAnErrorAndNothingElse(t *testing.T) {
	broken := errors.New("broken")
	for _, size := range []int{16, 1024, 1025, 200 << 10} {
		for _, watched := range []bool{true, false} {
			for failing := range 6 {
				t.Run(fmt.Sprint(size, watched, failing), func(t *testing.T) {
					w := newWorld(0)
					w.cpu = nil
					h := w.host()
					if !watched {
						h = w.unwatched()
					}
					r := newPool(h, 1)
					calls, failed := 0, false
					h.system = readerFunc(func(b []byte) (int, error) {
						if calls++; calls > failing {
							failed = true
							return 0, broken
						}
						return w.Read(b)
					})
					b := bytes.Repeat([]byte{1}, size)
					n, err := r.Read(b)
					switch {
					case err == nil && n != size, err == nil && failing == 0:
						t.Errorf("%d, %v", n, err)
					case err != nil && (n != 0 || !errors.Is(err, ErrEntropy) || !errors.Is(err, broken)):
						t.Errorf("%d, %v", n, err)
					case err != nil && !bytes.Equal(b, make([]byte, size)):
						t.Error("something was left in the buffer")
					case err != nil && r.shard(0).drbg.seed != [seedLen]byte{}:
						t.Error("what was collected is left in the state")
					}
					h.system = w
					drawn := w.drawn["system"]
					readN(t, r, 16)
					if failed && err != nil && w.drawn["system"] == drawn {
						t.Error("after the error nothing fresh was drawn")
					}
				})
			}
		}
	}
}

// A first seeding asks the operating system in a way that gives an error, and so does Reseed. The others ask in the fast way.
func TestWhichSeedingsAreStrict(t *testing.T) {
	h := newWorld(0).host()
	broken, asked := errors.New("broken"), 0
	h.strict = func(b []byte) error {
		if asked++; asked == 1 || asked == 3 {
			return broken
		}
		return readEntropy(h.system, b)
	}
	read := func(r io.Reader) func() error {
		return func() error { _, err := r.Read(make([]byte, 16)); return err }
	}
	r := newPool(h, 1)
	var g *Generator
	made := func() (err error) { g, err = newGenerator(new(Config), h); return err }
	for i, c := range []struct {
		do    func() error
		err   error
		asked int // so far
	}{
		{read(r), broken, 1},
		{read(r), nil, 2},
		{func() error { r.deplete(); return read(r)() }, nil, 2},
		{made, broken, 3},
		{made, nil, 4},
		{func() error { g.Deplete(); return read(g)() }, nil, 4},
		{func() error { return g.Reseed(nil) }, nil, 5},
		{func() error { return r.reseed(nil) }, nil, 6},
	} {
		if err := c.do(); !errors.Is(err, c.err) || asked != c.asked {
			t.Errorf("%d: %v, and asked %d times, not %d", i, err, asked, c.asked)
		}
	}
}

// Neither where the system gives an error nor where it panics does a Read go on without fresh bytes.
func TestNoSaltWithoutEntropy(t *testing.T) {
	broken := errors.New("broken")
	for _, size := range []int{16, 1024, 1025, 5000} {
		for _, stuck := range []bool{false, true} {
			for _, panics := range []bool{false, true} {
				w := newWorld(0)
				h := w.host()
				r := newPool(h, 1)
				readN(t, r, 16)
				w.counter += ms
				if w.stuck = stuck; !stuck {
					h.random = nil
				}
				h.system = readerFunc(func([]byte) (int, error) {
					if panics {
						panic(broken)
					}
					return 0, broken
				})
				b := bytes.Repeat([]byte{1}, size)
				n, err := 0, error(nil)
				func() {
					defer func() {
						if panics {
							err, _ = recover().(error)
						}
					}()
					n, err = r.Read(b)
				}()
				if n != 0 || !errors.Is(err, broken) || !bytes.Equal(b, make([]byte, size)) {
					t.Errorf("after a pause, Read of %d: %d, %v", size, n, err)
				}
				h.system = w
				drawn := w.drawn["system"]
				readN(t, r, 16)
				if w.drawn["system"] == drawn {
					t.Errorf("Read of %d, panics %v: the next one had nothing fresh in it", size, panics)
				}
			}
		}
	}
}

func TestBurstTakesNoMoreThanItsShareOfThePause(t *testing.T) {
	const turn = 25
	for _, size := range []int{16, 1024, 2000, 100_000} {
		for _, pause := range []uint64{gTicks + us, 64 * us, 300 * us, ms, 20 * ms, 3600 * 1000 * ms} {
			for _, earlier := range []uint64{0, 20 * ms} { // whose burst is over
				w := newWorld(0)
				w.step, w.cpu = turn, nil
				r := rested(t, w, earlier)
				if earlier > 0 {
					readN(t, r, size)
				}
				w.counter += pause
				readings := w.readings
				readN(t, r, size)
				// Looks beside the burst: one at the begin and one behind the system's bytes. A small
				// Read has one more for each step of 64 bytes; a large one has one for each step of
				// 4 KiB, and two for the seeding.
				others := 2 + max(1, size/mixStep)
				if size > maxSmall {
					others = 4 + (size+streamStep-1)/streamStep
				}
				turns := uint64(w.readings - readings - others)
				if most := min(pause/burstShare, burstTimes*gTicks)/turn + 3; turns > most {
					t.Errorf("Read of %d after %d us, and %d us before that: %d turns in the burst, more than %d", size, pause/us, earlier/us, turns, most)
				}
				if turns == 0 {
					t.Errorf("Read of %d after %d us: no burst", size, pause/us)
				}
			}
		}
	}
}

// The burst is as long as the pause asks for, also where the mix after it fails and where an event
// says that nobody knows how long the pause was.
func TestBurstTakesNoLessThanItsShareOfThePause(t *testing.T) {
	const turn = 25
	w := newWorld(0)
	w.step, w.cpu = turn, nil
	r := rested(t, w, 0)
	exhaust(t, r)
	readN(t, r, 16) // from a buffer that is not mixed
	read := func(pause uint64, event bool, again int) (readings, looks int) {
		w := w.clone()
		r := cloneReader(r, w)
		if w.counter += pause; event {
			r.conf().host.clones.bump()
		}
		w.before = func(look int) {
			if look == again {
				w.counter += gTicks + us
			}
		}
		readN(t, r, 16)
		return w.readings, w.looks
	}
	const burst = burstTimes * int(gTicks) / turn
	once, looks := read(20*ms, false, -1)
	twice, _ := read(20*ms, false, looks-1) // which ends the mix
	told, _ := read(0, true, -1)
	cut, _ := read(0, true, 100) // in the burst of the seeding
	if once < burst || twice < 2*burst || told < burst || cut < burst+50 {
		t.Errorf("readings: %d after a pause, %d with a second one in the mix, %d after an event, %d with a pause after it; a burst has %d",
			once, twice, told, cut, burst)
	}
}

// So it is where the salt of a longer burst went into a seeding, or into freshen, that then failed.
func TestABurstThatIsLostIsMadeAgain(t *testing.T) {
	const turn = 25
	for _, own := range []bool{false, true} {
		w := newWorld(0)
		w.step, w.cpu = turn, nil
		h := w.host()
		r := newPool(h, 1)
		if own {
			r.conf().entropy = streamOf("own", 0)
		}
		readN(t, r, 16)
		w.counter += 20 * ms
		readN(t, r, 16) // the buffer is mixed now
		h.system = readerFunc(func(b []byte) (int, error) {
			if len(b) == entropyLen { // of a seeding
				return w.Read(b)
			}
			return 0, errors.New("broken")
		})
		if _, err := r.Read(make([]byte, 5000)); err == nil {
			t.Fatal("nothing is asked of the system")
		}
		h.system = w
		readings := w.readings
		readN(t, r, 16)
		if n, burst := w.readings-readings, burstTimes*int(gTicks)/turn; n < burst {
			t.Errorf("own Entropy %v: %d readings, and a burst has %d", own, n, burst)
		}
	}
}

// In this model both clones' kernels are clones, there is no instruction, and
// they read the same counter value first after the restore. What tells them apart is
// how long each turn of the burst takes. The model gives a turn 0 or 1 tick of jitter at
// random, less than a 25 MHz counter's rounding alone; the runs are drawn
// from fixed seeds, so that this test does not depend on luck.
func TestBurstSeparatesClonesWithOneEqualReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, size := range []int{16, 1024, 5000} {
			w := newWorld(0)
			w.cpu = nil
			r := rested(t, w, 0)
			var all [][]byte
			const clones = 300
			for i := range clones {
				w := w.clone()
				r := cloneReader(r, w)
				first := true
				jitter := jitterOf(i)
				w.before = func(int) {
					if first {
						w.counter += 20 * ms // the same in all
						first = false
						return
					}
					w.jitter = jitter
				}
				all = append(all, readN(t, r, size), readN(t, r, 5000))
			}
			if anyTwice(all...) {
				t.Errorf("Read of %d: two of %d clones have a block in common", size, clones)
			}
		}
	})
}

func TestASlowCounterThatStandsStillEndsTheBurst(t *testing.T) {
	w := newWorld(0)
	w.cpu = nil
	h := w.host()
	l := limitsAt(25e6)
	l.zero = 0 // two equal readings are nothing strange at this rate
	h.pause.limits.Store(l)
	r := newPool(h, 1)
	w.step = 1
	readN(t, r, 16)
	w.counter += 25_000
	most := w.looks + 1_000_000
	w.before = func(look int) {
		w.step = 0
		if look > most {
			t.Fatal("a million looks: this does not end")
		}
	}
	readN(t, r, 16)
	if r.shard(0).window.open() {
		t.Error("a window is open on a counter that stands still")
	}
	readN(t, r, 5000)
}

// A machine without a usable counter and without a random instruction, whose kernel
// was cloned with it: the clocks are all that differs.
func TestClonesDifferByTheClockWhereNothingElseDoes(t *testing.T) {
	kernel := func() *host {
		h := newHost()
		h.clones, h.random = noDetectors(), nil
		h.pause = counterOff()
		next := byte(0)
		h.system = readerFunc(func(b []byte) (int, error) {
			for i := range b {
				next++
				b[i] = next
			}
			return len(b), nil
		})
		return h
	}
	for _, c := range []struct {
		name  string
		size  int
		stuck bool // the instruction is there, and gives all ones
	}{{"small", 16, false}, {"large", 200_000, false}, {"small, instruction stuck", 16, true}, {"large, instruction stuck", 200_000, true}} {
		t.Run(c.name, func(t *testing.T) {
			kernel := func() *host {
				h := kernel()
				if c.stuck {
					h.random = func() (x, y uint64, ok bool) { return ^uint64(0), ^uint64(0), true }
				}
				return h
			}
			size := c.size
			template := newPool(kernel(), 1)
			readN(t, template, 16)
			if anyTwice(readN(t, clonePool(template, kernel()), size), readN(t, clonePool(template, kernel()), size)) {
				t.Error("a block is in both clones")
			}
		})
	}
}
