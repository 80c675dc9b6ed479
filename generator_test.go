package rand

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// The same stream and the same calls give the same bytes, whatever the sizes: no
// mixing, no clock and no bytes of the CPU are in them, on the real machine.
func TestGeneratorIsDeterministic(t *testing.T) {
	run := func(stream string) (out []byte) {
		g, err := New(&Config{Deterministic: true, Entropy: newSource(stream), Personalization: []byte("perso"), ReseedInterval: 3})
		if err != nil {
			t.Fatal(err)
		}
		for _, size := range []int{1, 16, 17, 1024, 1025, 70_000, 0, 200_000, 5, 4096} {
			b := make([]byte, size)
			if _, err := g.Read(b); err != nil {
				t.Fatal(err)
			}
			out = append(out, b...)
		}
		g.Deplete()
		b := make([]byte, 40)
		g.Read(b)
		out = append(out, b...)
		g.Reseed([]byte("more"))
		g.Read(b)
		return append(out, b...)
	}
	if !bytes.Equal(run("a"), run("a")) {
		t.Error("the same stream and calls give other bytes")
	}
	if bytes.Equal(run("a"), run("b")) {
		t.Error("another stream gives the same bytes")
	}
}

// On the system source it is not: two generators never agree.
func TestGeneratorsOnTheSystemSourceDiffer(t *testing.T) {
	var outputs []string
	for range 100 {
		g, err := New(nil)
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 16)
		g.Read(b)
		outputs = append(outputs, string(b))
	}
	slices.Sort(outputs)
	if len(slices.Compact(outputs)) != 100 {
		t.Error("two generators gave the same bytes")
	}
}

// A Read uses up whole blocks: what is left of the last is never handed out.
func TestAReadUsesUpWholeBlocks(t *testing.T) {
	one := generatorKind(t, "", &Config{Deterministic: true, Entropy: newSource("s")}, quietHost(newSource("")), nil)
	blockwise := generatorKind(t, "", &Config{Deterministic: true, Entropy: newSource("s")}, quietHost(newSource("")), nil)
	for _, size := range []int{1, 2, 15, 16, 17, 31, 33, 1000} {
		whole := blockwise.must(t, wholeBlocks(size))
		if got := one.must(t, size); !bytes.Equal(got, whole[:size]) {
			t.Errorf("a Read of %d bytes is not the begin of %d blocks", size, len(whole)/16)
		}
	}
}

// What was handed out is not in the generator any more; and there is a new key.
func TestOutputIsErased(t *testing.T) {
	for name, h := range map[string]func(*countingSource) *host{"kept": quietHost, "mixed": mixingHost} {
		for _, own := range []bool{true, false} {
			s := newSource("s")
			cfg := &Config{}
			if own {
				cfg.Entropy = s
			}
			g, err := newGenerator(cfg, h(s))
			if err != nil {
				t.Fatal(err)
			}
			in := g.state()
			for _, size := range []int{16, 1, 100, 1000, 1024, 1024, 1024, 5000, 70_000} {
				key := in.drbg.key
				kept := in.buffer.pos
				b := make([]byte, size)
				if _, err := g.Read(b); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(in.buffer.out[:in.buffer.pos], make([]byte, in.buffer.pos)) {
					t.Errorf("%s, own source %v: after a Read of %d bytes kept output before pos is not erased", name, own, size)
				}
				if size <= maxSmall && in.buffer.pos > kept && in.buffer.pos-kept != wholeBlocks(size) {
					t.Errorf("%s, own source %v: a Read of %d bytes used up %d", name, own, size, in.buffer.pos-kept)
				}
				if size > maxSmall && in.drbg.key == key {
					t.Errorf("%s, own source %v: the key is the same after a generate", name, own)
				}
				if size >= 16 && bytes.Contains(memoryOf(in), b[size-16:]) {
					t.Errorf("%s, own source %v: the last block of a Read of %d bytes is in the generator", name, own, size)
				}
			}
			if in.in != [entropyLen]byte{} || in.late != [blockLen]byte{} || in.drbg.seed != [seedLen]byte{} {
				t.Errorf("%s, own source %v: entropy is left in the generator", name, own)
			}
			g.Deplete()
			g.Read(make([]byte, maxSmall+1))
			if *in.buffer.kept != (kept{}) {
				t.Errorf("%s, own source %v: a depleted generator keeps output or salt", name, own)
			}
		}
	}
}

// Nobody finds afterwards what a source has written.
func TestEntropyIsCleared(t *testing.T) {
	var given [][]byte
	stream := newSource("s")
	source := readerFunc(func(b []byte) (int, error) {
		given = append(given, b)
		return stream.Read(b)
	})
	cleared := func(after string) {
		t.Helper()
		if len(given) == 0 {
			t.Errorf("%s asked for nothing", after)
		}
		for _, b := range given {
			if !bytes.Equal(b, make([]byte, len(b))) {
				t.Errorf("after %s entropy of %d bytes is left where it was written to", after, len(b))
			}
		}
		given = nil
	}
	h := newWorld(0).host()
	h.system, h.random = source, nil
	r := newPool(h, 1)
	readN(t, r, 16)
	cleared("the first Read")
	if err := r.reseed([]byte("p")); err != nil {
		t.Fatal(err)
	}
	cleared("Reseed of the default Reader")
	g, err := newGenerator(&Config{Entropy: source}, h)
	if err != nil {
		t.Fatal(err)
	}
	cleared("New")
	if err := g.Reseed(nil); err != nil {
		t.Fatal(err)
	}
	cleared("Reseed")
	g.SetPredictionResistance(true)
	readN(t, g, 5000)
	cleared("a Read under prediction resistance")
}

// memoryOf is all secrets that a state holds.
func memoryOf(s *state) (b []byte) {
	b = append(b, s.drbg.key[:]...)
	b = append(b, s.drbg.v[:]...)
	b = append(b, s.drbg.seed[:]...)
	b = append(b, s.buffer.out[:]...)
	b = append(b, s.buffer.salt[:]...)
	return append(b, s.in[:]...)
}

// A generate is at most 2^16 bytes, so a long Read is several, each under a new key.
func TestALongReadIsSeveralGenerates(t *testing.T) {
	s := newSource("s")
	g, err := newGenerator(&Config{Deterministic: true, Entropy: s}, quietHost(newSource("")))
	if err != nil {
		t.Fatal(err)
	}
	before := g.state().drbg.reseedCounter
	g.Read(make([]byte, 10*maxRequest+1))
	if n := g.state().drbg.reseedCounter - before; n != 11 {
		t.Errorf("10 times 2^16 and 1 bytes were %d generates, want 11", n)
	}
}

func TestReseedInterval(t *testing.T) {
	for _, c := range []struct {
		interval uint64
		works    bool
	}{{0, true}, {1, true}, {1 << 48, true}, {1<<48 + 1, false}, {^uint64(0), false}} {
		if _, err := New(&Config{ReseedInterval: c.interval}); (err == nil) != c.works {
			t.Errorf("ReseedInterval %d: %v", c.interval, err)
		}
	}
	s := newSource("s")
	g, err := newGenerator(&Config{Deterministic: true, Entropy: s, ReseedInterval: 3}, quietHost(newSource("")))
	if err != nil {
		t.Fatal(err)
	}
	s.E()
	g.Read(make([]byte, 9*maxRequest))
	if e := s.E(); e != 2 {
		t.Errorf("nine generates at an interval of 3 drew %d times, want 2", e)
	}
	for range 9 * bufferLen / 16 {
		g.Read(make([]byte, 16))
	}
	if e := s.E(); e != 3 {
		t.Errorf("nine buffers at an interval of 3 drew %d times, want 3", e)
	}
	g, _ = newGenerator(&Config{Deterministic: true, Entropy: s}, quietHost(newSource("")))
	if g.conf().interval != 10_000 {
		t.Errorf("the interval is %d, want 10,000", g.conf().interval)
	}
}

func TestNewFailsWithItsSource(t *testing.T) {
	s := newSource("s")
	s.setFail(errors.New("dry"))
	if g, err := New(&Config{Deterministic: true, Entropy: s}); g != nil || !errors.Is(err, ErrEntropy) {
		t.Errorf("New = %v, %v", g, err)
	}
	for _, none := range []io.Reader{(*Generator)(nil), new(Generator), (*NVSeed)(nil), new(NVSeed)} {
		if g, err := New(&Config{Entropy: none}); g != nil || !errors.Is(err, ErrEntropy) {
			t.Errorf("New with a %T that nobody has made = %v, %v", none, g, err)
		}
	}
}

// The parameters are copied: the caller may use the memory again.
func TestPersonalizationIsCopied(t *testing.T) {
	perso := []byte("perso")
	run := func(change bool) []byte {
		perso := bytes.Clone(perso)
		cfg := &Config{Deterministic: true, Entropy: newSource("s"), Personalization: perso}
		x := generatorKind(t, "", cfg, quietHost(newSource("")), nil)
		if change {
			clear(perso)
			cfg.Entropy = nil
		}
		x.Deplete()
		return x.must(t, 16)
	}
	if !bytes.Equal(run(false), run(true)) {
		t.Error("a change after New changes the output")
	}
}

var _ io.Closer = (*Generator)(nil)

// A Generator that is closed gives nothing more and keeps nothing, whatever it is asked.
func TestClosedGenerators(t *testing.T) {
	for _, size := range []int{1, 16, 100, 5000} {
		s := newSource("s")
		g, err := newGenerator(&Config{Entropy: s, Personalization: []byte("p")}, thisHost)
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, size)
		g.Read(b)
		in := g.state()
		memory := in.secrets
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
			if *memory != (secrets{}) || *in.secrets != (secrets{}) || *g.state().secrets != (secrets{}) {
				t.Errorf("after %s secrets are left", after)
			}
			if in.epoch != nil || after == "Close" && g.pool.epoch.Load().chain != nil {
				t.Errorf("after %s a chain is left", after)
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

// A panic or a Goexit in Entropy leaves no lock held, and nothing in b that was not
// checked.
func TestEntropyThatDoesNotReturn(t *testing.T) {
	for name, leave := range map[string]func(){"panic": func() { panic("Entropy") }, "Goexit": runtime.Goexit} {
		for _, size := range []int{16, 1024, 200_000} {
			s := newSource("own")
			g, err := New(&Config{Entropy: s, ReseedInterval: 1})
			if err != nil {
				t.Fatal(err)
			}
			s.setOnDraw(func(int) { leave() })
			b := bytes.Repeat([]byte{0xaa}, size)
			if size <= maxSmall {
				g.Deplete() // else it is asked in the middle, for the second request
			}
			returned := false
			done := make(chan bool)
			go func() {
				defer close(done)
				defer func() { recover() }()
				g.Read(b)
				returned = true
			}()
			if <-done; returned {
				t.Fatalf("%s, %d bytes: Entropy was not asked", name, size)
			}
			if !bytes.Equal(b, make([]byte, size)) {
				t.Errorf("%s, %d bytes: something is left in the slice", name, size)
			}
			notLocked(t, &g.pool)
			s.setOnDraw(nil)
			readN(t, g, size)
		}
	}
}

func TestNVSeedAsTheOnlySource(t *testing.T) {
	s, path := newSeed(t)
	seeds := map[string]bool{}
	advanced := func() bool {
		b := string(mustReadFile(t, path))
		defer func() { seeds[b] = true }()
		return !seeds[b]
	}
	advanced()
	g, err := New(&Config{Entropy: s, ReseedInterval: 1})
	if err != nil {
		t.Fatal(err)
	}
	out := make([]byte, bufferLen)
	for _, c := range []struct {
		name string
		do   func() error
		want bool // the file is advanced
	}{
		{"New", func() error { return nil }, true},
		{"Read from what is kept", func() error { _, err := g.Read(out[:16]); return err }, false},
		{"Reseed(nil)", func() error { return g.Reseed(nil) }, true},
		{"Read after it", func() error { _, err := g.Read(out[:16]); return err }, false},
		{"Deplete", func() error { g.Deplete(); return nil }, false},
		{"Read after it", func() error { _, err := g.Read(out[:16]); return err }, true},
		{"Read past the reseed interval", func() error {
			for range 8 {
				if _, err := g.Read(out[:maxSmall]); err != nil {
					return err
				}
			}
			return nil
		}, true},
		{"SetPredictionResistance(false)", func() error { return g.SetPredictionResistance(false) }, false},
	} {
		if err := c.do(); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if got := advanced(); got != c.want {
			t.Errorf("%s: the file was advanced: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestNVSeedThatFailsAsTheOnlySource(t *testing.T) {
	s, path := newSeed(t)
	g, err := New(&Config{Entropy: s})
	if err != nil {
		t.Fatal(err)
	}
	seed := mustReadFile(t, path)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		do   func() error
	}{
		{"Reseed", func() error { return g.Reseed(nil) }},
		{"Read", func() error { _, err := g.Read(make([]byte, 16)); return err }},
		{"New", func() error { _, err := New(&Config{Entropy: s}); return err }},
	} {
		if err := c.do(); !errors.Is(err, ErrEntropy) || !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "clonerand seed create") {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if err := os.WriteFile(path, seed, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Read(make([]byte, 16)); err != nil {
		t.Errorf("when the seed is back: %v", err)
	}
}

func TestNVSeedBesideAnotherSource(t *testing.T) {
	s, path := newSeed(t)
	s.stamp = frozen
	before := mustReadFile(t, path)
	read := func(cfg *Config) []byte {
		t.Helper()
		cfg.Entropy = bytes.NewReader(make([]byte, 4*entropyLen))
		h, _, _ := signalledHost()
		g, err := newGenerator(cfg, h)
		if err != nil {
			t.Fatal(err)
		}
		return readN(t, g, 48)
	}
	if bytes.Equal(read(&Config{}), read(&Config{NVSeed: s})) {
		t.Error("the seed did not go into the state")
	}
	if bytes.Equal(before, mustReadFile(t, path)) {
		t.Error("the seed was not advanced")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := New(&Config{NVSeed: s}); !errors.Is(err, ErrEntropy) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("New with a seed that fails: %v", err)
	}
}

// The file was cloned with the machine: to draw from it again would repeat.
func TestNVSeedGeneratorAfterACloneSignal(t *testing.T) {
	for range 3 {
		g, path, word, pid := signalledSeed(t)
		for event := range 3 {
			readN(t, g, 48)
			atomic.AddUint64(word, 1)
			before := mustReadFile(t, path)
			for _, c := range []struct {
				name string
				do   func() error
			}{
				{"Read", func() error { _, err := g.Read(make([]byte, 16)); return err }},
				{"Read again", func() error { _, err := g.Read(make([]byte, 16)); return err }},
				{"large Read", func() error { _, err := g.Read(make([]byte, 1<<20)); return err }},
				{"Reseed(nil)", func() error { return g.Reseed(nil) }},
				{"Reseed with 15 bytes", func() error { return g.Reseed(make([]byte, minUnique-1)) }},
				{"Read after it", func() error { _, err := g.Read(make([]byte, 16)); return err }},
				{"Read after Deplete", func() error { g.Deplete(); _, err := g.Read(make([]byte, 16)); return err }},
				{"Read after a fork as well", func() error { *pid++; _, err := g.Read(make([]byte, 16)); return err }},
			} {
				if err := c.do(); !errors.Is(err, ErrCloned) {
					t.Errorf("event %d, %s: %v", event, c.name, err)
				}
			}
			if !bytes.Equal(before, mustReadFile(t, path)) {
				t.Errorf("event %d: the file was advanced", event)
			}
			if err := g.Reseed([]byte("0123456789abcdef")); err != nil {
				t.Errorf("event %d, Reseed with 16 bytes: %v", event, err)
			}
			if bytes.Equal(before, mustReadFile(t, path)) {
				t.Errorf("event %d: the file was not advanced by Reseed", event)
			}
		}
		// A fork is another matter.
		before := readN(t, g, 48)
		*pid++
		if after := readN(t, g, 48); bytes.Equal(after, before) {
			t.Error("the same bytes after a fork")
		}
	}
}

// A Reseed that could not draw is no Reseed.
func TestNVSeedGeneratorAfterACloneSignalAndAFailedReseed(t *testing.T) {
	g, path, word, _ := signalledSeed(t)
	atomic.AddUint64(word, 1)
	seed := mustReadFile(t, path)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := g.Reseed([]byte("0123456789abcdef")); !errors.Is(err, ErrEntropy) {
		t.Errorf("Reseed: %v", err)
	}
	if err := os.WriteFile(path, seed, 0o600); err != nil {
		t.Fatal(err)
	}
	// Its personalization is in the chain of the generator, so it is unique now.
	readN(t, g, 48)
}

// A personalization that was chosen before the machine was cloned is in both clones.
func TestNVSeedGeneratorThatIsClonedDuringAReseed(t *testing.T) {
	g, _, word, _ := signalledSeed(t)
	unique := []byte("0123456789abcdef")
	s, done := g.pool.acquire(0), make(chan error)
	go func() { done <- g.Reseed(unique) }()
	time.Sleep(20 * time.Millisecond) // it waits for the lock
	atomic.AddUint64(word, 1)
	s.release()
	if err := <-done; !errors.Is(err, ErrCloned) {
		t.Errorf("Reseed: %v", err)
	}
	if _, err := g.Read(make([]byte, 16)); !errors.Is(err, ErrCloned) {
		t.Errorf("Read: %v", err)
	}
	if err := g.Reseed(unique); err != nil {
		t.Errorf("another Reseed: %v", err)
	}
	readN(t, g, 48)
}

// Early boot: a generator that lives from an NV seed alone never waits for the
// kernel's generator, not even as the last resort.
func TestNVSeedOnlyNeverWaitsForTheKernel(t *testing.T) {
	nv, _ := newSeed(t)
	w := newWorld(0)
	w.cpu = nil
	h := w.host()
	h.ready = func([]byte) bool { return false }
	var asked atomic.Int32
	h.system = readerFunc(func(b []byte) (int, error) { asked.Add(1); return w.system.Read(b) })
	g, err := newGenerator(&Config{Entropy: nv}, h)
	if err != nil {
		t.Fatal(err)
	}
	readN(t, g, 16)
	h.pause.limits.Load().widened.Store(true)
	w.jitter = func() uint64 { return 50 * us }
	for _, n := range []int{16, 5000} {
		readN(t, g, n)
		if asked.Load() != 0 {
			t.Errorf("Read of %d: the kernel, which would make it wait, was asked %d times", n, asked.Swap(0))
		}
	}
}

// signalledSeed is a generator on a signalledHost whose only source is a new seed file.
func signalledSeed(t *testing.T) (g *Generator, path string, word *uint64, pid *int) {
	t.Helper()
	s, path := newSeed(t)
	h, word, pid := signalledHost()
	g, err := newGenerator(&Config{Entropy: s}, h)
	if err != nil {
		t.Fatal(err)
	}
	return g, path, word, pid
}

// signalledHost is a machine whose only detectors are one word of memory and a
// process ID that the test says.
func signalledHost() (h *host, word *uint64, pid *int) {
	memory, id := make([]uint64, 1), 1000
	return &host{
		clones: &cloneWatch{
			forkPage: func() (*uint64, string) { return nil, "left out" },
			identity: func() int { return id },
			signals:  wordsSignal(memory, []int{0}, nil),
		},
		pause:  newPauseDetector(),
		system: cryptoReader,
	}, &memory[0], &id
}
