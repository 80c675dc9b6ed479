package rand

import (
	"bytes"
	"compress/flate"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
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

// again runs this test in a process of its own, which is told by its environment.
func again(t *testing.T, env ...string) (out string, err error) {
	t.Helper()
	cmd := testBinary(t.Context(), "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=60s")
	cmd.Env = append(append(os.Environ(), "CLONERAND_TEST_AGAIN=1"), env...)
	b, err := cmd.CombinedOutput()
	return string(b), err
}

func isAgain() bool { return os.Getenv("CLONERAND_TEST_AGAIN") != "" }
