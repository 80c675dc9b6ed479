package rand

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

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
	h.pause.clock = func() time.Time { return packageInit.clock }
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
func steadyWords() func() (x, y uint64, ok bool) {
	x := uint64(1)
	return inPairs(func() (uint64, bool) {
		x = x*0x9E3779B97F4A7C15 + 1
		return x, true
	})
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
	found := make([][]byte, 16)
	for i := range found {
		read := []readFunc{r.Read, g.Read}[i%2]
		wg.Go(func() {
			b := make([]byte, 2048)
			for n := range 300 {
				part := b[:[]int{16, 48, 2048}[n%3]]
				if _, err := read(part); err != nil {
					t.Error(err)
				}
				found[i] = append(found[i], part...)
			}
		})
	}
	wg.Wait()
	stop.Store(true)
	changer.Wait()
	if anyTwice(found...) {
		t.Error("a block came twice")
	}
}

// Kept output of before an event is not in the caller's slice, even where the reseed
// that follows does not return.
func TestNothingKeptIsLeftInTheSliceAfterAnEvent(t *testing.T) {
	words := make([]uint64, 1)
	panics := false
	h := newHost()
	h.clones, h.pause = wordsWatch(words), neverPaused()
	h.system = readerFunc(func(b []byte) (int, error) {
		if panics {
			panic("the source")
		}
		return cryptoReader.Read(b)
	})
	g, err := newGenerator(&Config{}, h)
	if err != nil {
		t.Fatal(err)
	}
	r := newReaderOn(h)
	_, f := r.parts()
	f.states = make([]atomic.Pointer[state], 1)
	for name, read := range map[string]readFunc{"Reader": r.Read, "Generator": g.Read} {
		b := make([]byte, 16)
		for range bufferLen/blockLen*2 + 1 { // into a buffer that nobody mixes
			read(b)
		}
		s := g.state()
		if name == "Reader" {
			s = f.states[0].Load()
		}
		kept := [16]byte(s.buffer.out[s.buffer.pos:])
		if kept == ([16]byte{}) {
			t.Fatal("nothing is kept")
		}
		words[0]++
		panics = true
		clear(b)
		func() {
			defer func() { recover() }()
			read(b)
			t.Errorf("%s: no reseed", name)
		}()
		panics = false
		if [16]byte(b) == kept {
			t.Errorf("%s: what was kept before the event is in the slice", name)
		}
	}
}

func TestAfterEightTriesTheSystemsBytesGoOver(t *testing.T) {
	for _, size := range []int{16, 1024, 1025, 5000} {
		w := newWorld(0)
		r := rested(t, w, 0)
		w.pauseForEver(r, 50*us)
		looks, before := w.looks, w.drawn["system"]-w.seeded
		draws := w.drawn["cpu"]
		readN(t, r, size)
		// Two draws a try, and two in the last resort for each block.
		parts := (size + maxSmall - 1) / maxSmall // those of a large Read have eight tries each, and seedings before them
		if got, want := w.drawn["cpu"]-draws, 2*maxTries*parts+2*size/blockLen; got < want || size <= maxSmall && got != want {
			t.Errorf("Read of %d: %d draws, want %d", size, got, want)
		}
		if r.shard(0).in != [entropyLen]byte{} {
			t.Errorf("Read of %d: the system's bytes are left in the state", size)
		}
		if over := w.drawn["system"] - w.seeded - before; over < size/blockLen {
			t.Errorf("Read of %d: no bytes of the system went over it", size)
		}
		// Each 1 KiB has eight tries: of draws, and of a look that ends them.
		if most := (size/maxSmall+2)*(maxTries*8+3*maxSmall/blockLen) + 100; w.looks-looks > most {
			t.Errorf("Read of %d: %d looks, more than %d", size, w.looks-looks, most)
		}
		// The state is not trusted: the next Read starts anew. In a large one what lies
		// between its parts does.
		w.jitter = nil
		seeded := w.seeded
		draws = w.drawn["cpu"]
		readN(t, r, 16)
		if size <= maxSmall && w.seeded == seeded {
			t.Errorf("Read of %d: the next one did not seed the state", size)
		}
		if w.drawn["cpu"] == draws {
			t.Errorf("Read of %d: the next one had nothing fresh in it", size)
		}
	}
}

// What the last resort returns is not the system's bytes alone: what was made goes in, and two words of the random
// instruction, or else the clock where there is no counter.
func TestTheLastResort(t *testing.T) {
	w := newWorld(0)
	w.cpu = nil
	r := newPool(w.unwatched(), 1)
	readN(t, r, 16)
	overlay := func(pause uint64, over byte) block {
		w := w.clone()
		w.counter += pause
		h := w.unwatched()
		h.cloneDetectors(r.conf().host)
		b := bytes.Repeat([]byte{over}, blockLen)
		if err := clonePool(r, h).shard(0).overlay(b); err != nil {
			t.Fatal(err)
		}
		return block(b)
	}
	a, b := overlay(0, 0), overlay(0, 0xff)
	xorBlock(b[:], bytes.Repeat([]byte{0xff}, blockLen))
	if a != b {
		t.Error("it is not an XOR over what was made")
	}
	if a == overlay(ms, 0) {
		t.Error("the clock is not in it")
	}
	w.cpu = streamOf("cpu", 0)
	var want block
	same := w.clone()
	same.Read(want[:])
	x, _ := same.random()
	y, _ := same.random()
	if xorWords(want[:], x, y); overlay(0, 0) != want {
		t.Error("it is not the system's bytes and two words of the instruction")
	}
}

func TestACloneInTheEighthTry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, m := range []machine{{}, {sameSystem: true}, {noCPU: true, sameSystem: true}} {
			w := newWorld(0)
			if m.noCPU {
				w.cpu = nil
			}
			r := rested(t, w, 0)
			looks := 0
			read := func(i, at uint64) []byte {
				w := w.clone()
				r := cloneReader(r, w)
				w.pauseForEver(r, 50*us)
				w.before = func(look int) {
					if uint64(look) != at {
						return
					}
					w.counter += i * ms
					if w.cpu != nil {
						w.cpu = streamOf("cpu", i)
					}
					if !m.sameSystem {
						w.system = streamOf("system", i)
					}
				}
				b := readN(t, r, 16)
				looks = w.looks
				w.jitter = nil
				for range 224 {
					b = append(b, readN(t, r, 16)...)
				}
				return b
			}
			read(1, 1<<40)
			for at := range uint64(looks) {
				a, b := read(1, at), read(2, at)
				if equal := equalBlocks(a, b); equal != 0 {
					t.Errorf("%+v; before look %d of %d: %d blocks are equal", m, at, looks, equal)
				}
			}
		}
	})
}

// Without a counter and a page the process ID alone shows a fork. One that falls behind a Read's
// last draw is noticed, too: parent and child drew the same.
func TestAForkBehindTheLastDraw(t *testing.T) {
	for _, size := range []int{16, 5000} {
		w := newWorld(0)
		r := newPool(w.unwatched(), 1)
		readN(t, r, 16)
		draws := 0
		read := func(fork int) []byte {
			w := w.clone()
			h, pid := w.unwatched(), 1
			draw := func() {
				if draws++; draws == fork {
					pid = 2
				}
			}
			random := h.random
			h.random = func() (x, y uint64, ok bool) { defer draw(); return random() }
			h.system = readerFunc(func(b []byte) (int, error) { defer draw(); return w.Read(b) })
			h.clones.identity = func() int { return pid }
			h.cloneDetectors(r.conf().host)
			draws = 0
			return readN(t, clonePool(r, h), size)
		}
		inParent := read(-1)
		if again := read(-1); !bytes.Equal(inParent, again) {
			t.Fatal("two copies differ without a fork, so this test shows nothing")
		}
		if equalBlocks(inParent, read(draws)) != 0 {
			t.Errorf("Read of %d: parent and child return the same", size)
		}
	}
}

// Where the kernel wipes a state in a child and no detector tells of the fork, the state itself
// does: nothing is made of zeros.
func TestAWipedStateIsSeeded(t *testing.T) {
	for _, size := range []int{16, 5000} {
		w := newWorld(0)
		r := rested(t, w, ms)
		read := func(at int) (looks, seeded int) {
			w := w.clone()
			r := cloneReader(r, w)
			before := 0
			w.before = func(look int) {
				if look == at {
					*r.shard(0).secrets = secrets{}
					before = w.seeded
				}
			}
			readN(t, r, size)
			return w.looks, w.seeded - before
		}
		looks, _ := read(-1)
		for at := range looks {
			if _, seeded := read(at); seeded == 0 {
				t.Errorf("Read of %d, wiped before look %d of %d: the state was not seeded after it", size, at, looks)
			}
		}
	}
}

// A large Read that goes on as small ones has, as a whole, no more tries than another
// when this seems to be a new clone at every look.
func TestALargeReadInSmallPartsEndsInEventsWithoutEnd(t *testing.T) {
	for name, slow := range map[string]func(r *pool, w *world){
		"mixes fail, too": func(r *pool, w *world) { w.pauseForEver(r, 50*us) },
		"mixes succeed":   func(r *pool, w *world) { w.step = 10 * us },
	} {
		w := newWorld(0)
		r := rested(t, w, 0)
		slow(r, w)
		readN(t, r, 16) // measures what a mix takes
		pid := 0
		r.conf().host.clones.identity = func() int { pid++; return pid }
		const most = 40 * maxTries // a Read polls a few times in each try
		w.before = func(int) {
			if pid > 10*most {
				t.Fatalf("%s: %d events, and the Read goes on", name, pid)
			}
		}
		readN(t, r, 5000)
		if pid > most {
			t.Errorf("%s: %d looks at the PID for one Read, want no more than %d", name, pid, most)
		}
	}
}

// A counter that was set back is an event for everybody, at whatever reading of a Read, a
// mix or a seeding it is seen.
func TestACounterSetBackIsSeenAtEachReading(t *testing.T) {
	for name, prelude := range map[string]func(r *pool, w *world){
		"a buffer that is not mixed": func(r *pool, w *world) { exhaust(t, r); readN(t, r, 16) },
		"after a pause":              func(r *pool, w *world) { w.counter += ms },
		"mixing":                     func(r *pool, w *world) { w.counter += ms; readN(t, r, 16) },
		"after Deplete":              func(r *pool, w *world) { r.deplete() },
	} {
		for _, size := range []int{16, 1024, 5000} {
			missed, readings := 0, 0
			for at := 0; at == 0 || at < readings; at++ {
				w := newWorld(0)
				r := rested(t, w, 0)
				prelude(r, w)
				number := r.conf().host.clones.poll()
				from := w.readings
				w.before = func(int) {
					if w.readings-from == at && r.conf().host.clones.poll() == number {
						w.counter -= 1000 * ms
						w.before = nil
					}
				}
				readN(t, r, size)
				if at == 0 {
					clean := newWorld(0)
					r := rested(t, clean, 0)
					prelude(r, clean)
					from := clean.readings
					readN(t, r, size)
					readings = clean.readings - from
				}
				if r.conf().host.clones.poll() == number {
					missed++
				}
			}
			if missed != 0 {
				t.Errorf("%s, Read of %d: missed at %d of %d readings", name, size, missed, readings)
			}
		}
	}
}

// A signalWorld is a machine with one clone signal, a source of known bytes, and a counter without pauses or else a
// random instruction with known results: with neither a generator takes the clock, and is never the same twice. Each
// time that a generator reads the counter, draws, or looks at the process ID is a point; the signal changes at one
// of them, or from there on at every one.
type signalWorld struct {
	page   [1]uint64
	now    uint64 // counter
	drawn  uint64 // calls of the source
	late   int    // of these, those that began after the change
	random uint64 // results of the random instruction
	points int
	at     int // the point of the change; -1 for none
	always bool
	jump   uint64 // of the counter, with each change
}

func (w *signalWorld) reach() {
	if w.at >= 0 && (w.points == w.at || w.always && w.points > w.at) {
		atomic.AddUint64(&w.page[0], 1)
		w.now += w.jump
	}
	w.points++
}

func (w *signalWorld) changed() bool { return w.page[0] != 0 }

func (w *signalWorld) Read(b []byte) (int, error) {
	w.reach()
	if w.changed() {
		w.late++
	}
	for i := 0; i < len(b); i += 32 {
		sum := sha256.Sum256(binary.LittleEndian.AppendUint64(nil, w.drawn<<16|uint64(i)))
		copy(b[i:], sum[:])
	}
	w.drawn++
	w.reach()
	return len(b), nil
}

func (w *signalWorld) host(counter bool) *host {
	h := &host{clones: noDetectors(), pause: new(pauseDetector), system: w}
	h.clones.identity = func() int { w.reach(); return 1 }
	h.clones.signals = wordsSignal(w.page[:], []int{0}, nil)
	h.pause.clock = func() time.Time { return packageInit.clock } // copies must be equal, and the clock tells them apart
	l := &pauseLimits{why: "switched off for a test"}
	if counter {
		read := func() uint64 { w.reach(); w.now++; return w.now }
		h.pause.read, h.pause.readFenced = read, read
		l = limitsAt(1e9)
		l.rate = 0 // a burst has one turn
	} else {
		h.random = inPairs(func() (uint64, bool) { w.reach(); w.random++; return w.random * 0x9E3779B97F4A7C15, true })
	}
	h.pause.limits.Store(l)
	return h
}

// readCopy reads n bytes with a copy of the state of p, in the world w and in epoch e.
func readCopy(t *testing.T, p *pool, w *signalWorld, counter bool, e *epoch, n int) []byte {
	t.Helper()
	h := w.host(counter)
	h.clones.look() // finds the signal
	c := clonePool(p, h)
	c.epoch.Store(e)
	if c.conf().entropy != nil {
		c.conf().entropy = w
	}
	w.points, w.now, w.drawn, w.random = 0, p.shard(0).window.last, 1000, 1000
	return readN(t, c, n)
}

// Invariant 1 and the order of a seeding: wherever in a Read the signal changes, nothing is returned that the old state
// made, and what is returned comes from a draw that began after the change.
func TestNothingOfTheOldStateIsReturnedWhereverASignalChanges(t *testing.T) {
	for _, kind := range []struct {
		name             string
		counter, own     bool
		refill, newEpoch bool
		pause            uint64
	}{
		{name: "kept output", counter: true},
		{name: "kept output, and the counter shows the pause", counter: true, pause: 10_000},
		{name: "a refill is due", counter: true, refill: true},
		{name: "a reseed is due", counter: true, newEpoch: true},
		{name: "no counter"},
		{name: "no counter, a reseed is due", newEpoch: true},
		{name: "a source of its own", own: true},
		{name: "a source of its own, a reseed is due", own: true, newEpoch: true},
	} {
		for _, n := range []int{1, 16, 1024, 1025, 20_000, 140_000} {
			t.Run(fmt.Sprintf("%s/%d", kind.name, n), func(t *testing.T) {
				// A state that has read before.
				w := &signalWorld{at: -1}
				p := newPool(w.host(kind.counter), 1)
				if kind.own {
					p.conf().entropy = w
				}
				for range 10 { // past the first buffer, which is mixed since nobody knows where it comes from
					readN(t, p, maxSmall)
				}
				readN(t, p, 16)
				s, e := p.shard(0), p.epoch.Load()
				if kind.counter && s.buffer.mixing {
					t.Fatal("the buffer is mixed, which is not the case to be tested")
				}
				if kind.refill {
					s.buffer.erase()
				}
				if kind.newEpoch {
					e = &epoch{id: 2}
				}

				calm := &signalWorld{at: -1}
				old := readCopy(t, p, calm, kind.counter, e, n)
				again := &signalWorld{at: -1}
				if string(readCopy(t, p, again, kind.counter, e, n)) != string(old) {
					t.Fatal("two copies of the state without a change differ, so this test shows nothing")
				}
				for at := range calm.points {
					for _, always := range []bool{false, true} {
						if always && kind.pause > 0 {
							continue // pauses without end are a matter of the pause detector's tests
						}
						w := &signalWorld{at: at, always: always, jump: kind.pause}
						got := readCopy(t, p, w, kind.counter, e, n)
						if !w.changed() {
							t.Fatalf("point %d of %d was not reached", at, calm.points)
						}
						if w.late == 0 {
							t.Errorf("changed at point %d of %d: no draw after it", at, calm.points)
						}
						if n >= 16 && equalBlocks(old, got) != 0 {
							t.Errorf("changed at point %d of %d (and at every later one: %v): a block of the old state was returned", at, calm.points, always)
						}
						if always && w.points > 10*calm.points+n/4+200 { // the last resort takes a draw for each 16 bytes
							t.Errorf("changed at every point from %d on: %d points until the end", at, w.points)
						}
					}
				}
			})
		}
	}
}
