package rand

import (
	"bytes"
	"crypto/cipher"
	"errors"
	"testing"
	"testing/iotest"
)

func TestAPauseIsMoreThanG(t *testing.T) {
	// A Read on the fast path looks once, and that takes a step. One tick more than G
	// is allowed at this rate, since a difference of nothing counts as a pause.
	tests := []struct {
		name  string
		since uint64 // ticks from the last reading to this one
		draws int
	}{
		{"at once", 20, 0},
		{"G", gTicks, 0},
		{"more than G", gTicks + 1, 2},
		{"a second", 1e9, 2},
		{"nothing: it stood still", 0, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(0)
			r := rested(t, w, 0)
			// The first buffer is mixed; the next is as it was generated.
			exhaust(t, r)
			readN(t, r, 16)
			before := w.drawn["cpu"]
			w.before = func(look int) { w.counter += tt.since - w.step; w.before = nil }
			readN(t, r, 16)
			if got := w.drawn["cpu"] - before; got < tt.draws || tt.draws == 0 && got != 0 {
				t.Errorf("%d draws, not %d", got, tt.draws)
			}
			if tt.draws > 0 {
				return
			}
			for range 1000 { // many short times are no long one
				readN(t, r, 16)
			}
			if got := w.drawn["cpu"] - before; got != 0 {
				t.Errorf("%d draws in 1000 Reads without a pause", got)
			}
		})
	}
}

func TestReadingsThatCrossAreNoEvent(t *testing.T) {
	// Another CPU's counter is read up to 1 us too early where the reading is not fenced.
	w := newWorld(0)
	h := w.host()
	skew := uint64(0)
	h.pause.read = func() uint64 { return w.read() - skew }
	r := newPool(h, 1)
	readN(t, r, 16)
	exhaust(t, r)
	readN(t, r, 16)
	number, draws := h.clones.poll(), w.drawn["cpu"]
	for range 100 {
		skew = 1 * us
		readN(t, r, 16)
		skew = 0
		readN(t, r, 16)
	}
	if got := h.clones.poll(); got != number {
		t.Errorf("the generation went from %d to %d", number, got)
	}
	if got := w.drawn["cpu"] - draws; got != 0 {
		t.Errorf("%d draws: a crossing was taken for a pause", got)
	}
}

func TestACounterSetBackIsAnEventForEveryShard(t *testing.T) {
	for _, size := range []int{16, 1024, 5000} {
		w := newWorld(0)
		r := newPool(w.host(), 4)
		for i := range 4 {
			readN(t, r.only(i), 16)
		}
		number := r.conf().host.clones.poll()
		w.counter -= 1000 * ms
		readN(t, r.only(0), size)
		if got := r.conf().host.clones.poll(); got != number+1 {
			t.Errorf("Read of %d: the generation went from %d to %d", size, number, got)
		}
		for i := 1; i < 4; i++ {
			// Where each was last alone comes again: to the tick, the worst that can be.
			w.counter = r.shard(i).window.last
			seeded := w.seeded
			readN(t, r.only(i), size)
			if w.seeded == seeded {
				t.Errorf("Read of %d: shard %d did not seed itself anew", size, i)
			}
		}
	}
}

// A Generator is cloned between its making, its reseeds and its Reads. Where the
// counter is used, the kernel may be a clone as well.
func TestClonesOfAGeneratorReadNothingEqual(t *testing.T) {
	preludes := map[string]func(g *Generator) error{
		"New":        func(g *Generator) error { return nil },
		"Reseed":     func(g *Generator) error { return g.Reseed(nil) },
		"small Read": func(g *Generator) error { _, err := g.Read(make([]byte, 16)); return err },
		"large Read": func(g *Generator) error { _, err := g.Read(make([]byte, 5000)); return err },
		"Deplete":    func(g *Generator) error { g.Deplete(); return nil },
	}
	hosts := map[string]func(w *world) *host{"watched": (*world).host, "without a counter": (*world).unwatched}
	for kind, hostOf := range hosts {
		for name, prelude := range preludes {
			inBubble(t, kind+", "+name, func(t *testing.T) {
				for _, size := range []int{16, 1024, 1025, 4096, 200 << 10} {
					w := newWorld(0)
					g, err := newGenerator(new(Config), hostOf(w))
					if err != nil {
						t.Fatal(err)
					}
					if err := prelude(g); err != nil {
						t.Fatal(err)
					}
					var clones [2][]byte
					for i := range clones {
						w := w.clone()
						w.counter += ms
						w.cpu = streamOf("cpu", uint64(i)+1)
						if kind != "watched" {
							w.system = streamOf("system", uint64(i)+1)
						}
						c := cloneGenerator(g, hostOf(w))
						clones[i] = append(readN(t, c, size), readN(t, c, 5000)...)
					}
					if equal := equalBlocks(clones[0], clones[1]); equal != 0 {
						t.Errorf("Read of %d: %d blocks are equal", size, equal)
					}
				}
			})
		}
	}
}

// Each buffer has a mix key of its own, which is no output and which its mixes are made with.
func TestEachBufferHasAMixKey(t *testing.T) {
	w := newWorld(0)
	r := rested(t, w, 0)
	var keys, out []byte
	for range 3 {
		s := r.shard(0)
		keys = append(keys, s.buffer.key[:]...)
		out = append(out, s.buffer.out[:]...)
		n := &neighbour{mix: newAES(s.buffer.key[:])}
		x := block(s.buffer.out[s.buffer.pos:])
		w.counter += ms
		if got := readN(t, r, 16); n.twice(x, s.buffer.salt) != block(got) {
			t.Error("a mix is not made with the buffer's key")
		}
		exhaust(t, r)
		readN(t, r, 16)
	}
	if anyTwice(keys) || bytes.Contains(keys, make([]byte, blockLen)) || equalBlocks(keys, out) != 0 {
		t.Errorf("the keys are % x", keys)
	}
}

// Reads that follow each other without a pause are mixed for a while after one. Then the state is made
// anew: that costs less.
func TestMixingEndsInBusyUse(t *testing.T) {
	w := newWorld(0)
	r := newPool(w.host(), 1)
	readN(t, r, 16)
	exhaust(t, r)
	readN(t, r, 16)
	s := r.shard(0)
	w.counter += 2 * gTicks
	for mixed := 0; mixed <= mixLen; mixed += blockLen { // the first is taken before the salt is drawn
		readN(t, r, blockLen)
		if !s.buffer.mixing {
			t.Fatalf("after %d bytes nothing is mixed", mixed)
		}
	}
	readN(t, r, blockLen)
	if s.buffer.mixing || !s.window.open() || s.buffer.pos != blockLen {
		t.Errorf("after %d bytes: mixing %v, window open %v, %d bytes of the buffer used", mixLen, s.buffer.mixing, s.window.open(), s.buffer.pos)
	}
	// Where each Read comes after a pause, each has a salt of its own, and the output lasts.
	for read := 2; read <= bufferLen/blockLen; read++ {
		w.counter += 2 * gTicks
		readN(t, r, blockLen)
		if s.buffer.pos != read*blockLen {
			t.Fatalf("Read %d: %d bytes of the buffer used", read, s.buffer.pos)
		}
	}
}

// A step takes less than G on a CPU on which the whole buffer may take longer.
func TestARefillLooksAfterEachStep(t *testing.T) {
	w := newWorld(0)
	r := newPool(w.host(), 1)
	readN(t, r, 16)
	exhaust(t, r)
	readings := w.readings
	readN(t, r, 16)
	// As it begins, after each step, and after the key.
	if got, want := w.readings-readings, 1+(bufferLen+streamStep-1)/streamStep+1; got != want {
		t.Errorf("%d readings in a Read that makes %d bytes, want %d", got, bufferLen, want)
	}
	// Under prediction resistance only what the Read needs is made.
	r.resist(true)
	readings = w.readings
	readN(t, r, 16)
	if got := w.readings - readings; got != 4 { // one is of the seeding
		t.Errorf("%d readings under prediction resistance, want 4", got)
	}
}

// If the random instruction gives the same to two clones, their counters tell them apart.
func TestTheCounterGoesIntoTheSalt(t *testing.T) {
	for _, size := range []int{16, 5000} {
		r := rested(t, newWorld(0), 0)
		var clones [2][]byte
		for i := range clones {
			w := r.conf().host.system.(*world).clone()
			w.counter += ms + uint64(i)
			clones[i] = readN(t, cloneReader(r, w), size)
		}
		if equalBlocks(clones[0], clones[1]) != 0 {
			t.Errorf("Read of %d: blocks are equal", size)
		}
	}
}

// Without a counter both the instruction and the system go into a salt: either of them tells clones apart.
func TestASaltWithoutACounter(t *testing.T) {
	w := newWorld(0)
	r := newPool(w.unwatched(), 1)
	readN(t, r, 16)
	read := func(cpu, system uint64) []byte {
		w := w.clone()
		w.cpu, w.system = streamOf("cpu", cpu), streamOf("system", system)
		h := w.unwatched()
		h.cloneDetectors(r.conf().host)
		return readN(t, clonePool(r, h), 16)
	}
	if !bytes.Equal(read(1, 1), read(1, 1)) || bytes.Equal(read(1, 1), read(2, 1)) || bytes.Equal(read(1, 1), read(1, 2)) {
		t.Error("a salt is not made of both")
	}
}

func TestWhatWasHandedOutIsErased(t *testing.T) {
	for _, pause := range []uint64{0, ms} {
		r := rested(t, newWorld(0), pause)
		for _, n := range []int{1, 16, 17, 32, 100, 1024} {
			b := readN(t, r, n)
			s := r.shard(0)
			if n >= blockLen && bytes.Contains(s.buffer.out[:], b[:blockLen]) {
				t.Errorf("pause %d, Read of %d: its bytes are still there", pause, n)
			}
			if !bytes.Equal(s.buffer.out[:s.buffer.pos], make([]byte, s.buffer.pos)) {
				t.Errorf("pause %d, Read of %d: what is used up is not erased", pause, n)
			}
		}
		s := r.shard(0)
		s.buffer.erase()
		if !bytes.Equal(s.buffer.out[:], make([]byte, len(s.buffer.out))) || s.buffer.salt != (block{}) {
			t.Error("kept output, mix key or salt are not erased")
		}
	}
}

// Where neither counter nor instruction is to be had, a salt is the system's bytes: if
// they fail to come, the Read fails.
func TestASaltThatFailsFailsTheRead(t *testing.T) {
	s := newSource("system")
	g, err := newGenerator(&Config{}, mixingHost(s))
	if err != nil {
		t.Fatal(err)
	}
	b := readN(t, g, 16)
	s.setFail(errors.New("the cause"))
	if n, err := g.Read(b); n != 0 || !errors.Is(err, ErrEntropy) || [16]byte(b) != [16]byte{} {
		t.Errorf("a Read without fresh bytes returned %d, %v", n, err)
	}
	s.setFail(nil)
	readN(t, g, 16)
}

// A neighbour was restored from the same snapshot: it knows the kept output and the
// mix key F of its sibling, and sees one block that the sibling made public.
type neighbour struct {
	mix  cipher.Block
	kept []block
}

// attack takes y for the block at i, mixed without the second XOR, which gives the
// salt, and foretells the block at j.
func (n *neighbour) attack(i int, y block, j int, mixed func(x, salt block) block) (salt, next block) {
	n.mix.Decrypt(salt[:], y[:])
	xorBlock(salt[:], n.kept[i][:])
	return salt, mixed(n.kept[j], salt)
}

func (n *neighbour) once(x, salt block) (y block) {
	xorBlock(x[:], salt[:])
	n.mix.Encrypt(y[:], x[:])
	return y
}

func (n *neighbour) twice(x, salt block) block {
	y := n.once(x, salt)
	xorBlock(y[:], salt[:])
	return y
}

func TestANeighbourDoesNotLearnTheNextBlock(t *testing.T) {
	w := newWorld(0)
	r := rested(t, w, 0)
	snapshot := r.shard(0).clone(r.conf())
	n := &neighbour{newAES(snapshot.buffer.key[:]), blocksOf(snapshot.buffer.out[:])}
	first := snapshot.buffer.pos / blockLen

	// The sibling: restored, so paused, and fed by an instruction that nobody clones.
	w = w.clone()
	w.counter += 20 * ms
	w.cpu = streamOf("cpu", 1)
	sibling := cloneReader(r, w)
	public := blocksOf(readN(t, sibling, 16))[0]
	secret := blocksOf(readN(t, sibling, 64))
	salt := sibling.shard(0).buffer.salt
	if sibling.shard(0).buffer.pos != (first+5)*blockLen || !sibling.shard(0).buffer.mixing {
		t.Fatal("the sibling's Reads were not what this test thinks")
	}

	// The blocks are what the neighbour thinks, with the salt that it does not know.
	if n.twice(n.kept[first], salt) != public || n.twice(n.kept[first+1], salt) != secret[0] {
		t.Fatal("the mix is not the one that this test attacks")
	}
	t.Run("as built the attack fails", func(t *testing.T) {
		for _, guess := range []func(x, salt block) block{n.once, n.twice} {
			for i := first - 2; i < len(n.kept); i++ { // whichever block it takes the public one for
				got, next := n.attack(i, public, first+1, guess)
				if got == salt {
					t.Error("the neighbour has the salt")
				}
				if equalBlocks(next[:], flat(secret)) != 0 {
					t.Error("the neighbour has foretold a block")
				}
			}
		}
	})
	t.Run("without the second XOR it succeeds", func(t *testing.T) {
		got, next := n.attack(first, n.once(n.kept[first], salt), first+1, n.once)
		if got != salt {
			t.Error("the neighbour does not have the salt")
		}
		if next != n.once(n.kept[first+1], salt) {
			t.Error("the neighbour has not foretold the next block")
		}
	})
	t.Run("both halves of the salt are fresh", func(t *testing.T) {
		// With one word it would be found in 2^64 tries.
		for i, was := range [2]block{snapshot.buffer.salt, {}} {
			if block8(salt[:8]) == block8(was[:8]) || block8(salt[8:]) == block8(was[8:]) {
				t.Errorf("%d: a half of the salt is what it was", i)
			}
		}
	})
	t.Run("the refill takes the salt along", func(t *testing.T) {
		// The kernel may be a clone, too: then what the instruction gave is all there is. Two
		// states that differ in the salt alone must part.
		for _, own := range []bool{false, true} {
			a, b := cloneReader(sibling, w.clone()), cloneReader(sibling, w.clone())
			if own { // it is not asked
				a.conf().entropy, b.conf().entropy = iotest.ErrReader(errors.New("asked")), iotest.ErrReader(errors.New("asked"))
			}
			b.shard(0).buffer.salt[0] ^= 1
			a.shard(0).buffer.pos, b.shard(0).buffer.pos = bufferLen, bufferLen
			if equalBlocks(readN(t, a, 1024), readN(t, b, 1024)) != 0 {
				t.Errorf("own Entropy %v: the salt does not go into the state", own)
			}
		}
	})
}

// The limit that docs/pause.md names: without an instruction and with a cloned kernel
// the salt is the kernel's bytes and the counter, and the neighbour can try.
func TestWithoutAnInstructionTheNeighbourCanTry(t *testing.T) {
	w := newWorld(0)
	w.cpu, w.step = nil, 100
	r := rested(t, w, 0)
	restored := func(pause uint64) []byte {
		w := w.clone()
		w.counter += pause
		return readN(t, cloneReader(r, w), 64)
	}
	secret := restored(20*ms + 1234)
	found := false
	for guess := uint64(20 * ms); guess < 20*ms+2000 && !found; guess++ {
		found = equalBlocks(secret, restored(guess)) == 4
	}
	if !found {
		t.Error("the blocks are not those of any counter value: then docs/pause.md says too little")
	}
}

func block8(b []byte) [8]byte { return [8]byte(b) }

func flat(blocks []block) (b []byte) {
	for _, x := range blocks {
		b = append(b, x[:]...)
	}
	return b
}
