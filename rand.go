// Package rand has the API of crypto/rand, and behind it an AES-256 CTR_DRBG (NIST
// SP 800-90A Rev. 1) in user space. The generator notices when its state was cloned: by
// a fork, a snapshot of the virtual machine, a checkpoint or a resumed hibernation
// image. So no two clones return the same bytes.
//
// [Read], [Text], [Int] and [Prime] are used as those of crypto/rand. [Reseed], [Deplete]
// and [SetPredictionResistance] control the default generator behind [Reader]; [New]
// makes others. [Generation] and [OnClone] tell of forks and clones, so that a program
// can drop what it drew before. [Inspect] says what protects this process. All of these
// may be called from any goroutine.
//
// What it guarantees: nobody clones without a pause, and the CPU's cycle counter shows
// the pause. After one of 2 us or more a Read mixes fresh bytes into what it returns. Each
// Read also looks for forks and clone signals. Where no counter is usable the package is
// as clone-safe as crypto/rand. Guests on virtual time see no pause: they need a clone
// signal, or CLONERAND_COUNTER=off in the environment.
//
// How it fails: [Read], [Text] and [Source] crash the program, as crypto/rand does. Reads
// of [Reader] and of a [Generator] return no bytes and [ErrEntropy], or [ErrCloned] where
// a seed file was cloned. If the operating system's generator fails after the first
// seeding, they crash the program, too.
//
// The standard library does not draw from here by itself: docs/whole.md and
// docs/replace.md say how it can. README.md has all limits, docs/pause.md the argument.
package rand

import (
	"fmt"
	"io"
	"math/big"
)

// Read fills b with cryptographically secure random bytes. It never returns an
// error and always fills b entirely: if [Reader] returns an error, the program
// crashes irrecoverably, as with crypto/rand.
func Read(b []byte) (n int, err error) {
	p, _ := Reader.(*pool)
	return p.read(b, true)
}

// readReplaced is Read where Reader was replaced. The default generator does not let
// b escape, but another Reader may: it gets other memory.
func readReplaced(b []byte) (n int, err error) {
	bb := make([]byte, len(b))
	if _, err = io.ReadFull(Reader, bb); err != nil {
		crash(err)
	}
	copy(b, bb)
	clear(bb)
	return len(b), nil
}

const base32alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567" // RFC 4648, 6

// Text returns a random string of the standard base32 alphabet with at least 128
// bits of randomness, as crypto/rand's does. A future version may return longer
// texts to keep that up.
func Text() string {
	var text [26]byte // 32^26 > 2^128
	Read(text[:])
	for i := range text {
		text[i] = base32alphabet[text[i]%32]
	}
	return string(text[:])
}

// Int returns a uniform random value in [0, max), from bytes of rand. It panics if
// max <= 0, and returns an error if rand.Read returns one, or if rand repeats itself so
// that no value comes.
func Int(rand io.Reader, max *big.Int) (n *big.Int, err error) {
	if max.Sign() <= 0 {
		panic("crypto/rand: argument to Int is <= 0")
	}
	n = new(big.Int).Sub(max, big.NewInt(1))
	bits := n.BitLen()
	if bits == 0 {
		return n, nil
	}
	var room [64]byte
	b := room[:]
	size := (bits + 7) / 8
	if size > len(b) {
		b = make([]byte, size)
	}
	b = b[:size]
	defer clear(b)
	for range intTries {
		if err := readFull(rand, b); err != nil {
			return nil, err
		}
		b[0] &= 0xff >> (8*size - bits)
		// The number of tries depends on what was thrown away, not on what is returned.
		if n.SetBytes(b).Cmp(max) < 0 {
			return n, nil
		}
	}
	return nil, fmt.Errorf("clonerand: no number below the maximum in %d tries: the reader repeats itself", intTries)
}

// intTries is how many values Int tries at most. A random value is too large with a
// probability below 1/2. So the probability that all of them are is below 2^-256.
const intTries = 256

// readFull is io.ReadFull, but does not let b escape for the default generator.
func readFull(rand io.Reader, b []byte) error {
	if r, ok := rand.(*pool); ok {
		_, err := r.Read(b)
		return err
	}
	bb := make([]byte, len(b))
	defer clear(bb)
	_, err := io.ReadFull(rand, bb)
	copy(b, bb)
	return err
}

// Generation returns a number that grows whenever a fork, a clone signal or a cycle counter
// that was set back is noticed. It looks for forks and signals itself, and may be called
// from any goroutine. A pause alone does not move it, since few pauses are clones. So it
// does not guard a nonce counter on a machine without a clone signal.
func Generation() uint64 {
	w := thisHost.clones
	w.pollID()
	return w.poll()
}
