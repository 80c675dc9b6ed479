package rand

import (
	"bytes"
	"crypto/fips140"
	cryptorand "crypto/rand"
	"errors"
	"io"
	"math/big"
	mathrand "math/rand/v2"
	"strings"
	"testing"
)

func TestInt(t *testing.T) {
	for _, max := range []int64{1, 2, 3, 127, 128, 129, 255, 256, 257, 1 << 40} {
		for range 50 {
			n, err := Int(Reader, big.NewInt(max))
			if err != nil || n.Sign() < 0 || n.Int64() >= max {
				t.Errorf("Int(%d) = %v, %v", max, n, err)
			}
		}
	}
	huge := new(big.Int).Lsh(big.NewInt(1), 5000)
	if n, err := Int(Reader, huge); err != nil || n.Cmp(huge) >= 0 {
		t.Errorf("Int(2^5000) = %v, %v", n, err)
	}
}

// Our Int and crypto/rand's take the same bytes from a reader and make the same of them.
func TestIntIsCryptoRands(t *testing.T) {
	sizes := []uint{0, 1, 2, 7, 8, 9, 15, 16, 17, 64, 127, 255, 256, 257, 511, 512, 513, 600}
	for _, bits := range sizes {
		for _, delta := range []int64{-1, 0, 1} {
			max := new(big.Int).Lsh(big.NewInt(1), bits)
			if max.Add(max, big.NewInt(delta)); max.Sign() <= 0 {
				continue
			}
			ours, theirs := mathrand.NewChaCha8([32]byte{9}), mathrand.NewChaCha8([32]byte{9})
			for range 5 {
				a, errA := Int(ours, max)
				b, errB := cryptorand.Int(theirs, max)
				if errA != nil || errB != nil || a.Cmp(b) != 0 {
					t.Fatalf("Int(2^%d%+d) = %v, %v; crypto/rand's: %v, %v", bits, delta, a, errA, b, errB)
				}
			}
			if ours.Uint64() != theirs.Uint64() {
				t.Errorf("Int(2^%d%+d) takes other bytes than crypto/rand's", bits, delta)
			}
		}
	}
}

func TestIntReadsNoMoreThanItNeeds(t *testing.T) {
	for bits := range 33 {
		read := 0
		r := readerFunc(func(b []byte) (int, error) { clear(b); read += len(b); return len(b), nil })
		if _, err := Int(r, big.NewInt(1<<bits)); err != nil {
			t.Fatal(err)
		}
		if want := (bits + 7) / 8; read != want {
			t.Errorf("Int(2^%d) read %d bytes, want %d", bits, read, want)
		}
	}
}

func TestIntMasksNoValidValue(t *testing.T) {
	for max := 1; max <= 256; max++ {
		for i := range max {
			n, err := Int(bytes.NewReader([]byte{byte(i)}), big.NewInt(int64(max)))
			if err != nil || n.Int64() != int64(i) {
				t.Errorf("Int(%d) of byte %d = %v, %v", max, i, n, err)
			}
		}
	}
}

func TestIntErrors(t *testing.T) {
	cause := errors.New("cause")
	fails := readerFunc(func([]byte) (int, error) { return 0, cause })
	if n, err := Int(fails, big.NewInt(100)); n != nil || !errors.Is(err, cause) {
		t.Errorf("Int = %v, %v", n, err)
	}
	if n, err := Int(bytes.NewReader([]byte{1}), big.NewInt(1<<20)); n != nil || err != io.ErrUnexpectedEOF {
		t.Errorf("Int of too short a reader = %v, %v", n, err)
	}
	for _, max := range []*big.Int{new(big.Int), big.NewInt(-1)} {
		panics := func(f func(io.Reader, *big.Int) (*big.Int, error)) (message any) {
			defer func() { message = recover() }()
			f(Reader, max)
			return nil
		}
		if ours, theirs := panics(Int), panics(cryptorand.Int); ours == nil || ours != theirs {
			t.Errorf("Int(%v) panics with %v, crypto/rand's with %v", max, ours, theirs)
		}
	}
}

func TestPrime(t *testing.T) {
	skipWherePrimeIsRefused(t)
	for _, bits := range []int{2, 3, 4, 5, 6, 7, 8, 9, 10, 15, 16, 17, 63, 64, 65, 512} {
		p, err := Prime(Reader, bits)
		if err != nil {
			t.Fatalf("Prime(%d): %v", bits, err)
		}
		if p.BitLen() != bits || !p.ProbablyPrime(32) {
			t.Errorf("Prime(%d) = %v", bits, p)
		}
		if bits > 2 && p.Bit(bits-2) != 1 {
			t.Errorf("Prime(%d) = %b: the second bit is not set", bits, p)
		}
	}
}

// The same stream gives the same prime: the reader is honoured, and nothing else is.
// A Generator is read as it is, another reader half of the time from its second byte on.
func TestPrimeHonoursItsReader(t *testing.T) {
	skipWherePrimeIsRefused(t)
	for _, bits := range []int{33, 256} {
		from := func(generator bool) string {
			var r io.Reader = mathrand.NewChaCha8([32]byte{byte(bits)})
			if generator {
				g, err := New(&Config{Entropy: r, Deterministic: true})
				if err != nil {
					t.Fatal(err)
				}
				r = g
			}
			p, err := Prime(r, bits)
			if err != nil {
				t.Fatal(err)
			}
			return p.String()
		}
		for generator, want := range map[bool]int{true: 1, false: 2} {
			found := make(map[string]bool)
			for range 64 {
				found[from(generator)] = true
			}
			if len(found) != want {
				t.Errorf("%d bits, from a Generator: %v: %d primes from one stream, want %d", bits, generator, len(found), want)
			}
		}
	}
}

func TestPrimeOfNilIsFromReader(t *testing.T) {
	skipWherePrimeIsRefused(t)
	if p, err := Prime(nil, 64); err != nil || p.BitLen() != 64 {
		t.Errorf("%v, %v", p, err)
	}
}

// A reader that repeats itself gives no prime for ever.
func TestPrimeEnds(t *testing.T) {
	skipWherePrimeIsRefused(t)
	for _, bits := range []int{16, 256, 2048} {
		constant := readerFunc(func(b []byte) (int, error) { clear(b); return len(b), nil })
		if p, err := Prime(constant, bits); err == nil && !p.ProbablyPrime(20) {
			t.Errorf("%d bits of a constant reader: %v", bits, p)
		} else if err != nil && !strings.Contains(err.Error(), "repeats itself") {
			t.Errorf("%d bits of a constant reader: %v", bits, err)
		}
	}
}

func TestPrimeErrors(t *testing.T) {
	skipWherePrimeIsRefused(t)
	for _, bits := range []int{1, 0, -1} {
		p, err := Prime(Reader, bits)
		_, theirs := cryptorand.Prime(Reader, bits)
		if p != nil || err == nil || err.Error() != theirs.Error() {
			t.Errorf("Prime(%d) = %v, %v; crypto/rand's error: %v", bits, p, err, theirs)
		}
	}
	cause := errors.New("cause")
	if p, err := Prime(readerFunc(func([]byte) (int, error) { return 0, cause }), 64); p != nil || !errors.Is(err, cause) {
		t.Errorf("Prime = %v, %v", p, err)
	}
}

func skipWherePrimeIsRefused(t *testing.T) {
	t.Helper()
	if fips140.Enforced() {
		t.Skip("FIPS 140-only mode allows no Prime; that it is refused is a test of its own")
	}
}
