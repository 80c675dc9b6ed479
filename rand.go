// Package rand is crypto/rand with a generator of its own behind it: an AES-256
// CTR_DRBG (NIST SP 800-90A Rev. 1) in user space that notices when its state has
// been cloned, by a fork, a snapshot of the virtual machine or a resumed
// hibernation image, and never lets two clones emit the same bytes.
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
// b escape; of another Reader nobody knows.
func readReplaced(b []byte) (n int, err error) {
	bb := make([]byte, len(b))
	if _, err = io.ReadFull(Reader, bb); err != nil {
		crash(err)
	}
	copy(b, bb)
	clear(bb)
	return len(b), nil
}

// crash ends the program with the words of crypto/rand, which its users may look for.
func crash(err error) { fatal("fatal error: crypto/rand: failed to read random data: " + err.Error()) }

// fatal crashes the program. A panic in the goroutine of the caller could be
// recovered; one in a new goroutine cannot, and the caller never returns.
func fatal(message string) {
	go panic(message)
	select {}
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

// intTries is how many values Int tries at most. Less than half of the random ones are too
// large, so that all are with a probability of less than 2^-256.
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
// from any goroutine. A pause alone does not move it, since a pause is not known to be a
// clone. So where nothing tells of clones it does not guard a nonce counter.
func Generation() uint64 {
	w := thisHost.clones
	w.pollID()
	return w.poll()
}
