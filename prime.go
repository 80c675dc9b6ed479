package rand

import (
	"crypto/fips140"
	"errors"
	"fmt"
	"io"
	"math/big"
	mathbits "math/bits"
	"slices"
)

// Prime returns a number of the given bit length that is prime with high
// probability, from candidates drawn from rand; nil stands for [Reader]. It returns an
// error if rand.Read does, if bits < 2, in FIPS 140-only mode, and if rand repeats
// itself so that no prime comes.
//
// Unlike crypto/rand's since Go 1.26, it honours rand. Like crypto/rand's before, it is
// not a function of rand: half of the time it reads a byte more, unless rand is a
// [Generator], an [NVSeed] or the default [Reader].
func Prime(rand io.Reader, bits int) (p *big.Int, err error) {
	if fips140.Enforced() {
		return nil, errors.New("crypto/rand: use of Prime is not allowed in FIPS 140-only mode")
	}
	if bits < 2 {
		return nil, errors.New("crypto/rand: prime size must be at least 2-bit")
	}
	if rand == nil {
		rand = Reader
	}
	maybeReadByte(rand)
	b := make([]byte, (bits+7)/8)
	defer clear(b)
	p, kept := new(big.Int), new(big.Int)
	for try := 1; try <= primeTries*bits; try++ {
		if err := readFull(rand, b); err != nil {
			return nil, err
		}
		p.SetBytes(b)
		for extra := p.BitLen() - 1; extra >= bits; extra-- {
			p.SetBit(p, extra, 0)
		}
		// The top two bits are set, so that the product of two primes is not a bit short;
		// and the lowest, since an even number of this length is no prime.
		p.SetBit(p, bits-1, 1)
		if bits > 2 {
			p.SetBit(p, bits-2, 1)
		}
		p.SetBit(p, 0, 1)
		if p.Cmp(kept) == 0 && bits >= primeUnique {
			return nil, errors.New("clonerand: no prime comes: the reader repeats itself")
		}
		if !hasSmallFactor(p) && p.ProbablyPrime(20) {
			return p, nil
		}
		if try&(try-1) == 0 { // Brent: whatever the period is, it is found within three of them
			kept.Set(p)
		}
	}
	return nil, fmt.Errorf("clonerand: no prime in %d candidates: the reader repeats itself", primeTries*bits)
}

// primeUnique is the number of bits from which a candidate that comes again shows that the
// reader repeats itself. Random candidates of 128 bits do that with a probability of 2^-113.
const primeUnique = 128

// primeTries times the number of bits is how many candidates there are at most. An odd
// number of n bits is prime with a probability of 2/(n ln 2). So the probability that none
// of 32 n random ones is prime is exp(-92), which is 2^-133.
const primeTries = 32

// maybeReadByte reads a byte half of the time, so that nobody comes to depend on how much
// is read (crypto/internal/randutil).
func maybeReadByte(rand io.Reader) {
	switch rand.(type) {
	case *pool, *Generator, *NVSeed:
		return
	}
	var b [1]byte
	if defaultReader.read(b[:], true); b[0]&1 == 1 {
		rand.Read(b[:])
	}
}

// sieve is the primes that ProbablyPrime does not try to divide by before it
// exponentiates; with them a third fewer candidates of 256 bits come that far.
var sieve = [...]uint64{
	59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151,
	157, 163, 167, 173, 179, 181, 191, 193, 197, 199, 211, 223, 227, 229, 233, 239, 241, 251,
}

// hasSmallFactor reports whether a prime of the sieve divides p and is not p.
func hasSmallFactor(p *big.Int) bool {
	words := p.Bits()
	if p.BitLen() < 64 {
		return false
	}
	for _, q := range sieve {
		r := uint64(0)
		for _, w := range slices.Backward(words) {
			if mathbits.UintSize == 64 {
				r = (r<<32 | uint64(w)>>32) % q
			}
			r = (r<<32 | uint64(w)&0xffffffff) % q
		}
		if r == 0 {
			return true
		}
	}
	return false
}
