package rand

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

var _ io.Closer = (*Generator)(nil)

// A Generator that is closed gives nothing more and keeps nothing, whatever it is asked.
func TestClosedGenerators(t *testing.T) {
	for _, size := range []int{1, 16, 100, 5000} {
		s := newSource("s")
		g, err := newGenerator(&Config{Entropy: s, Personalization: []byte("p")}, thisHost())
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, size)
		g.Read(b)
		in := g.state()
		if in.drbg.key == [keyLen]byte{} {
			t.Fatal("no key before Close")
		}
		if err := g.Close(); err != nil {
			t.Fatal(err)
		}
		s.E()
		check := func(after string) {
			t.Helper()
			if n, err := g.Read(b); n != 0 || !errors.Is(err, fs.ErrClosed) || !bytes.Equal(b, make([]byte, size)) {
				t.Errorf("after %s a Read of %d bytes returns %d, %v, and b is not cleared: %v", after, size, n, err, !bytes.Equal(b, make([]byte, size)))
			}
			if *in.secrets != (secrets{}) || *g.state().secrets != (secrets{}) {
				t.Errorf("after %s secrets are left", after)
			}
		}
		check("Close")
		if err := g.Reseed([]byte("a personalization")); !errors.Is(err, fs.ErrClosed) {
			t.Errorf("Reseed: %v", err)
		}
		check("Reseed")
		if err := g.SetPredictionResistance(true); !errors.Is(err, fs.ErrClosed) {
			t.Errorf("SetPredictionResistance: %v", err)
		}
		check("SetPredictionResistance")
		g.Deplete()
		check("Deplete")
		if err := g.Close(); err != nil {
			t.Errorf("a second Close: %v", err)
		}
		check("a second Close")
		if e := s.E(); e != 0 {
			t.Errorf("a closed Generator drew entropy %d times", e)
		}
	}
	if err := new(Generator).Close(); err != errNoGenerator {
		t.Errorf("a Generator not made by New: %v", err)
	}
}

// Close beside Reads, Reseeds and Depletes of other goroutines: a Read gives all of its bytes
// or none, and none once Close has returned.
func TestCloseBesideReads(t *testing.T) {
	for range 50 {
		g, err := New(nil)
		if err != nil {
			t.Fatal(err)
		}
		var closed atomic.Bool
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				b := make([]byte, []int{16, 40, 1000, 5000}[i])
				for range 100_000 { // far more than there is time for
					clear(b)
					was := closed.Load()
					n, err := g.Read(b)
					if err == nil && (was || n != len(b) || bytes.Equal(b[len(b)-16:], make([]byte, 16))) {
						t.Errorf("a Read of %d bytes, closed before: %v, returned %d bytes: %x", len(b), was, n, b[len(b)-16:])
					}
					if err != nil {
						if !errors.Is(err, fs.ErrClosed) || !bytes.Equal(b, make([]byte, len(b))) {
							t.Errorf("%v, b cleared: %v", err, bytes.Equal(b, make([]byte, len(b))))
						}
						return
					}
					switch i {
					case 0:
						g.Reseed(nil)
					case 1:
						g.Deplete()
					}
				}
			})
		}
		runtime.Gosched()
		if err := g.Close(); err != nil {
			t.Error(err)
		}
		closed.Store(true)
		wg.Wait()
	}
}
