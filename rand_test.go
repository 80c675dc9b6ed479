package rand

import (
	"bytes"
	"compress/flate"
	"crypto/fips140"
	cryptorand "crypto/rand"
	"errors"
	"io"
	"math/big"
	mathrand "math/rand/v2"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// ways are the two doors of crypto/rand to the default generator.
var ways = map[string]func([]byte) (int, error){
	"Read":        Read,
	"Reader.Read": func(b []byte) (int, error) { return Reader.Read(b) },
}

func TestReadFills(t *testing.T) {
	for name, read := range ways {
		for _, size := range []int{0, 1, 15, 16, 17, 1023, 1024, 1025, 4096, 65535, 65536, 65537, 1 << 20, 40 << 20} {
			b := make([]byte, size+8)
			if n, err := read(b[:size]); n != size || err != nil {
				t.Fatalf("%s of %d bytes = %d, %v", name, size, n, err)
			}
			if !bytes.Equal(b[size:], make([]byte, 8)) {
				t.Errorf("%s of %d bytes wrote behind the end", name, size)
			}
			// Eight zeros in a row come by chance once in 2^64 places.
			for i := 0; i+8 <= size; i += max(8, size/1000) {
				if bytes.Equal(b[i:i+8], make([]byte, 8)) {
					t.Errorf("%s of %d bytes left zeros at %d", name, size, i)
					break
				}
			}
		}
		if n, err := read(nil); n != 0 || err != nil {
			t.Errorf("%s(nil) = %d, %v", name, n, err)
		}
	}
}

func TestReadDoesNotCompress(t *testing.T) {
	for name, read := range ways {
		b := make([]byte, 1_000_000)
		read(b[:500_000])
		for rest := b[500_000:]; len(rest) > 0; rest = rest[100:] {
			read(rest[:100])
		}
		var z bytes.Buffer
		w, _ := flate.NewWriter(&z, 5)
		w.Write(b)
		w.Close()
		if z.Len() < len(b)*99/100 {
			t.Errorf("%s: %d bytes compress to %d", name, len(b), z.Len())
		}
	}
}

func TestEveryByteValueComes(t *testing.T) {
	var seen [256]bool
	missing := 256
	var b [1]byte
	for range 1_000_000 {
		if Read(b[:]); !seen[b[0]] {
			seen[b[0]] = true
			missing--
		}
	}
	if missing > 0 {
		t.Errorf("%d of 256 byte values did not come in a million", missing)
	}
}

func TestConcurrentReads(t *testing.T) {
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			var b [32]byte
			for range 1000 {
				if n, err := Read(b[:]); n != 32 || err != nil {
					t.Errorf("Read = %d, %v", n, err)
				}
			}
		})
	}
	wg.Wait()
}

// A caller's buffer stays on its stack.
func TestReadDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	var sink byte
	for _, c := range []struct {
		name string
		read func()
	}{
		{"16 bytes", func() { var b [16]byte; Read(b[:]); sink ^= b[0] }},
		{"32 bytes", func() { b := make([]byte, 32); Read(b); sink ^= b[0] }},
		{"256 bytes", func() { var b [256]byte; Read(b[:]); sink ^= b[0] }},
	} {
		// Now and then a buffer is made anew, and the cipher for it: the average counts.
		if n := testing.AllocsPerRun(10_000, c.read); n > 0 {
			t.Errorf("%s: %v allocations, want 0", c.name, n)
		}
	}
	if sink == 0 {
		t.Log("kept from being optimized away")
	}
}

func replaceReader(t *testing.T, r io.Reader) {
	old := Reader
	t.Cleanup(func() { Reader = old })
	Reader = r
}

func TestReplacedReaderIsUsed(t *testing.T) {
	calls := 0
	replaceReader(t, readerFunc(func(b []byte) (int, error) {
		calls++
		b[0] = 7 // one byte a call: Read has to come back
		return 1, nil
	}))
	b := make([]byte, 32)
	if n, err := Read(b); n != 32 || err != nil || !bytes.Equal(b, bytes.Repeat([]byte{7}, 32)) {
		t.Errorf("Read = %d, %v, %x", n, err, b)
	}
	if got := Text(); got != strings.Repeat("H", 26) {
		t.Errorf("Text of sevens = %q", got)
	}
	if calls != 32+26 {
		t.Errorf("the Reader was called %d times, want %d", calls, 32+26)
	}
}

func TestText(t *testing.T) {
	seen := map[string]bool{}
	var letters [256]int
	for range 1000 {
		s := Text()
		if len(s) != 26 || seen[s] {
			t.Fatalf("Text = %q", s)
		}
		seen[s] = true
		for _, c := range []byte(s) {
			letters[c]++
		}
	}
	for _, c := range []byte(base32alphabet) {
		if letters[c] == 0 {
			t.Errorf("%q never came", c)
		}
		letters[c] = 0
	}
	for c, n := range letters {
		if n > 0 {
			t.Errorf("%q is not in the alphabet", rune(c))
		}
	}
}

// A Generator that New has not made gives an error, or a crash where there is none.
func TestZeroGenerator(t *testing.T) {
	var g Generator
	b := []byte{1, 2, 3}
	if n, err := g.Read(b); n != 0 || err == nil || !bytes.Equal(b, make([]byte, 3)) {
		t.Errorf("Read = %d, %v, %v", n, err, b)
	}
	if err := g.Reseed(nil); err == nil {
		t.Error("Reseed works")
	}
	if err := g.SetPredictionResistance(true); err == nil {
		t.Error("SetPredictionResistance(true) works")
	}
	if err := g.SetPredictionResistance(false); err == nil {
		t.Error("SetPredictionResistance(false) works")
	}
	g.Deplete()
}

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
	for _, max := range []int64{3, 200, 1<<62 + 1} { // a reader of values that are all too large
		ones := readerFunc(func(b []byte) (int, error) { return copy(b, bytes.Repeat([]byte{0xff}, len(b))), nil })
		done := make(chan bool)
		go func() {
			defer close(done)
			if n, err := Int(ones, big.NewInt(max)); n != nil || err == nil || !strings.Contains(err.Error(), "repeats itself") {
				t.Errorf("Int(%d) of a constant reader = %v, %v", max, n, err)
			}
		}()
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			t.Fatalf("Int(%d) of a constant reader hangs", max)
		}
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

// A byte more from a seed would be a draw more, and its file is written at each.
func TestPrimeTakesNoByteMoreFromASeed(t *testing.T) {
	s, path := newSeed(t)
	before := mustReadFile(t, path)
	for range 64 {
		maybeReadByte(s)
	}
	if !bytes.Equal(before, mustReadFile(t, path)) {
		t.Error("the seed was advanced")
	}
}

func TestPrimeOfNilIsFromReader(t *testing.T) {
	skipWherePrimeIsRefused(t)
	if p, err := Prime(nil, 64); err != nil || p.BitLen() != 64 {
		t.Errorf("%v, %v", p, err)
	}
}

// Another Reader has no part in what is drawn from a reader of the caller's.
func TestPrimeAsksItsReaderAlone(t *testing.T) {
	skipWherePrimeIsRefused(t)
	defer func(was io.Reader) { Reader = was }(Reader)
	Reader = readerFunc(func(b []byte) (int, error) {
		t.Error("Reader was asked")
		return len(b), nil
	})
	if _, err := Prime(mathrand.NewChaCha8([32]byte{}), 64); err != nil {
		t.Error(err)
	}
}

// A reader that repeats itself, at once or after some candidates, gives no prime for ever.
func TestPrimeEnds(t *testing.T) {
	skipWherePrimeIsRefused(t)
	for _, bits := range []int{16, 127, 128, 256, 2048} {
		for _, period := range []int{1, 2, 7, 31} {
			reads := 0
			reader := readerFunc(func(b []byte) (int, error) {
				reads++
				return copy(b, bytes.Repeat([]byte{byte(reads % period)}, len(b))), nil
			})
			p, err := Prime(reader, bits)
			if err == nil && !p.ProbablyPrime(20) {
				t.Errorf("%d bits of a reader of period %d: %v", bits, period, p)
			} else if err != nil && !strings.Contains(err.Error(), "repeats itself") {
				t.Errorf("%d bits of a reader of period %d: %v", bits, period, err)
			}
			if most := 4*period + 2; bits >= 128 && reads > most {
				t.Errorf("%d bits of a reader of period %d: %d reads, want at most %d", bits, period, reads, most)
			}
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

// What can only be seen in a process of its own.

func skipWithoutProcesses(t *testing.T) {
	t.Helper()
	switch runtime.GOOS {
	case "js", "wasip1", "ios", "android":
		t.Skip("no processes can be started here")
	}
}

// A failure of the Reader ends the program, whatever recovers.
func TestCrashIsIrrecoverable(t *testing.T) {
	if isAgain() {
		defer func() {
			recover()
			os.Exit(0)
		}()
		failing := readerFunc(func([]byte) (int, error) { return 0, errors.New("the cause") })
		switch os.Getenv("CLONERAND_TEST_CRASH") {
		case "Read":
			Reader = failing
			Read(make([]byte, 32))
		case "Text":
			Reader = failing
			Text()
		case "Uint64":
			s := newSource("")
			g, _ := newGenerator(&Config{Entropy: s}, quietHost(s))
			s.setFail(errors.New("the cause"))
			g.Deplete()
			g.Uint64()
		case "Uint64 of the zero Generator":
			new(Generator).Uint64()
		case "Read of the default reader":
			h := quietHost(newSource(""))
			h.system = failing
			defaultReader.set(newConfig(h), &epoch{id: 1}, 1)
			Read(make([]byte, 32))
		}
		return
	}
	skipWithoutProcesses(t)
	for call, cause := range map[string]string{
		"Read":                         "the cause",
		"Text":                         "the cause",
		"Uint64":                       "the cause",
		"Uint64 of the zero Generator": "not made by New",
		"Read of the default reader":   "the cause",
	} {
		out, err := again(t, "CLONERAND_TEST_CRASH="+call)
		if err == nil {
			t.Errorf("%s: the process went on:\n%s", call, out)
		}
		if !strings.Contains(out, "panic: ") || !strings.Contains(out, cause) {
			t.Errorf("%s: the crash does not say why:\n%s", call, out)
		}
	}
}

// Who puts our Reader in the place of crypto/rand's gets no circle.
func TestCryptoRandReaderReplaced(t *testing.T) {
	if isAgain() {
		cryptorand.Reader = Reader
		b := make([]byte, 2000)
		for range 3 {
			Read(b[:16])
			Read(b)
			cryptorand.Read(b[:16])
			if err := Reseed([]byte("perso")); err != nil {
				t.Error(err)
			}
			Deplete()
			if _, err := Int(cryptorand.Reader, big.NewInt(1000)); err != nil {
				t.Error(err)
			}
			g, err := New(&Config{Entropy: cryptorand.Reader}) // our own by now
			if err != nil {
				t.Fatal(err)
			}
			if g.conf().entropy != nil {
				t.Error("our Reader as Entropy is not the system source")
			}
			if _, err := g.Read(b); err != nil {
				t.Error(err)
			}
			if err := SetPredictionResistance(true); err != nil {
				t.Error(err)
			}
		}
		return
	}
	skipWithoutProcesses(t)
	if out, err := again(t); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestFIPSOnly(t *testing.T) {
	if isAgain() {
		p, err := Prime(Reader, 64)
		_, theirs := cryptorand.Prime(cryptorand.Reader, 64)
		if p != nil || err == nil || theirs == nil || err.Error() != theirs.Error() {
			t.Errorf("Prime = %v, %v; crypto/rand's error: %v", p, err, theirs)
		}
		for _, size := range []int{1, 16, 2000, 100_000} {
			if n, err := Read(make([]byte, size)); n != size || err != nil {
				t.Errorf("Read of %d bytes = %d, %v", size, n, err)
			}
		}
		if _, err := Int(Reader, big.NewInt(1000)); err != nil {
			t.Errorf("Int: %v", err)
		}
		if err := Reseed(nil); err != nil {
			t.Error(err)
		}
		Text()
		return
	}
	skipWithoutProcesses(t)
	out, err := again(t, "GODEBUG=fips140=only")
	if strings.Contains(out, "FIPS 140-3 mode") && strings.Contains(out, "not supported") {
		t.Skipf("this system has no FIPS 140-3 mode: %s", out)
	}
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestSource(t *testing.T) {
	r := mathrand.New(Source{})
	seen := make(map[uint64]bool)
	for range 1000 {
		if x := r.Uint64(); seen[x] {
			t.Fatal("a value came twice")
		} else {
			seen[x] = true
		}
		if n := r.IntN(10); n < 0 || n > 9 {
			t.Fatal(n)
		}
	}
	if allocs := testing.AllocsPerRun(1000, func() { r.Uint64() }); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func BenchmarkSource(b *testing.B) {
	ours := mathrand.New(Source{})
	theirs := mathrand.New(mathrand.NewChaCha8([32]byte{1}))
	b.Run("impl=clonerand", func(b *testing.B) {
		for b.Loop() {
			ours.Uint64()
		}
	})
	b.Run("impl=chacha8", func(b *testing.B) {
		for b.Loop() {
			theirs.Uint64()
		}
	})
}
