package rand

import (
	"crypto/cipher"
	"testing"
)

// A neighbour was restored from the same snapshot: it knows the kept output and the
// fold key F of its sibling, and sees one block that the sibling made public.
type neighbour struct {
	fold cipher.Block
	kept []block
}

// attack takes y for the block at i, folded without the second XOR, which gives the
// salt, and foretells the block at j.
func (n *neighbour) attack(i int, y block, j int, folded func(x, salt block) block) (salt, next block) {
	n.fold.Decrypt(salt[:], y[:])
	xorBlock(salt[:], n.kept[i][:])
	return salt, folded(n.kept[j], salt)
}

func (n *neighbour) once(x, salt block) (y block) {
	xorBlock(x[:], salt[:])
	n.fold.Encrypt(y[:], x[:])
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
	n := &neighbour{newAES(snapshot.kept[keptLen:]), blocksOf(snapshot.kept[:keptLen])}
	first := snapshot.pos / blockLen

	// The sibling: restored, so paused, and fed by an instruction that nobody clones.
	w = w.clone()
	w.counter += 20 * ms
	w.cpu = streamOf("cpu", 1)
	sibling := cloneReader(r, w)
	public := blocksOf(readN(t, sibling, 16))[0]
	secret := blocksOf(readN(t, sibling, 64))
	salt := sibling.shard(0).salt
	if sibling.shard(0).pos != (first+5)*blockLen || !sibling.shard(0).salted {
		t.Fatal("the sibling's Reads were not what this test thinks")
	}

	// The blocks are what the neighbour thinks, with the salt that it does not know.
	if n.twice(n.kept[first], salt) != public || n.twice(n.kept[first+1], salt) != secret[0] {
		t.Fatal("the fold is not the one that this test attacks")
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
		for i, was := range [2]block{snapshot.salt, {}} {
			if block8(salt[:8]) == block8(was[:8]) || block8(salt[8:]) == block8(was[8:]) {
				t.Errorf("%d: a half of the salt is what it was", i)
			}
		}
	})
	t.Run("the refill takes the salt along", func(t *testing.T) {
		// The kernel may be a clone, too: then what the instruction gave is all there is. Two
		// states that differ in the salt alone must part.
		a, b := cloneReader(sibling, w.clone()), cloneReader(sibling, w.clone())
		b.shard(0).salt[0] ^= 1
		a.shard(0).pos, b.shard(0).pos = keptLen, keptLen
		if equalBlocks(readN(t, a, 1024), readN(t, b, 1024)) != 0 {
			t.Error("the salt does not go into the state")
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
