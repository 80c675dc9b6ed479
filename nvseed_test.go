package rand

import (
	"bytes"
	cryptorand "crypto/rand"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// newSeed makes a seed in a folder of its own, on a memory file system where
// there is one, since most tests do not need a disk.
func newSeed(t testing.TB) (*NVSeed, string) {
	t.Helper()
	path := filepath.Join(memoryDir(t), "seed")
	err := CreateNVSeed(path)
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return openSeed(t, path), path
}

func openSeed(t testing.TB, path string) *NVSeed {
	t.Helper()
	s, err := OpenNVSeed(path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func memoryDir(t testing.TB) string {
	const memory = "/dev/shm"
	if filepath.IsAbs(memory) { // not on Windows
		if dir, err := os.MkdirTemp(memory, "clonerand"); err == nil {
			t.Cleanup(func() { os.RemoveAll(dir) })
			return dir
		}
	}
	return t.TempDir()
}

func mustDraw(t testing.TB, s *NVSeed, n int, perso string) []byte {
	t.Helper()
	out := make([]byte, n)
	if err := s.draw(out, []byte(perso)); err != nil {
		t.Fatal(err)
	}
	return out
}

func mustReadFile(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// frozen is a stamp that says nothing: what differs then differs by seed or
// personalization alone.
func frozen() []byte { return nil }

func folder(t testing.TB, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestNVSeedFileIsReplacedByEachRead(t *testing.T) {
	s, path := newSeed(t)
	seen := map[string]bool{string(mustReadFile(t, path)): true}
	for range 5 {
		out := make([]byte, 48)
		if n, err := s.Read(out); n != len(out) || err != nil {
			t.Fatalf("Read = %d, %v", n, err)
		}
		next := mustReadFile(t, path)
		if len(next) != nvSeedLen || seen[string(next)] {
			t.Fatalf("after a Read the file holds %d bytes, seen before: %v", len(next), seen[string(next)])
		}
		if bytes.Contains(next, out[:8]) || bytes.Contains(out, next[:8]) {
			t.Error("output and next seed share bytes")
		}
		seen[string(next)] = true
	}
	if n, err := s.Read(nil); n != 0 || err != nil {
		t.Errorf("empty Read = %d, %v", n, err)
	}
	if !seen[string(mustReadFile(t, path))] {
		t.Error("an empty Read advanced the file")
	}
}

func TestNVSeedServesAnyLengthWithOneAdvance(t *testing.T) {
	for _, n := range []int{1, 15, 16, 48, maxRequest - 1, maxRequest, maxRequest + 1, 3*maxRequest + 5} {
		s, path := newSeed(t)
		advances := 0
		s.step = func(name string) {
			if name == "renamed" {
				advances++
			}
		}
		before := mustReadFile(t, path)
		out := make([]byte, n)
		if _, err := io.ReadFull(s, out); err != nil {
			t.Fatal(err)
		}
		if advances != 1 || bytes.Equal(before, mustReadFile(t, path)) {
			t.Errorf("%d bytes: %d advances", n, advances)
		}
		blocks := map[[16]byte]bool{}
		for b := out; len(b) >= 16; b = b[16:] {
			if block := [16]byte(b); blocks[block] {
				t.Fatalf("%d bytes: a block repeats", n)
			} else {
				blocks[block] = true
			}
		}
	}
}

// Which inputs make a difference: two draws from equal copies of a file.
func TestNVSeedDrawDependsOn(t *testing.T) {
	for _, c := range []struct {
		name           string
		perso1, perso2 string
		stamp          func() []byte
		change         func([]byte)
		same           bool
	}{
		{name: "nothing, frozen stamp", stamp: frozen, same: true},
		{name: "same personalization, frozen stamp", perso1: "device 1", perso2: "device 1", stamp: frozen, same: true},
		{name: "other personalization, frozen stamp", perso1: "device 1", perso2: "device 2", stamp: frozen},
		{name: "personalization or none, frozen stamp", perso1: "x", stamp: frozen},
		{name: "real stamp"},
		{name: "first byte, frozen stamp", stamp: frozen, change: func(b []byte) { b[0] ^= 1 }},
		{name: "byte 64, frozen stamp", stamp: frozen, change: func(b []byte) { b[63] ^= 1 }},
		{name: "byte 65, frozen stamp", stamp: frozen, change: func(b []byte) { b[64] ^= 1 }},
		{name: "last byte of 1024, frozen stamp", stamp: frozen, change: func(b []byte) { b[1023] ^= 1 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := memoryDir(t)
			content := make([]byte, nvSeedMaxLen)
			fillRandom(t, content)
			run := func(name, perso string) (out, next []byte) {
				path := filepath.Join(dir, name)
				if err := os.WriteFile(path, content, 0o600); err != nil {
					t.Fatal(err)
				}
				s := openSeed(t, path)
				s.stamp = c.stamp
				out = mustDraw(t, s, 48, perso)
				return out, mustReadFile(t, path)
			}
			out1, next1 := run("1", c.perso1)
			if c.change != nil {
				c.change(content)
			}
			out2, next2 := run("2", c.perso2)
			if bytes.Equal(out1, out2) != c.same || bytes.Equal(next1, next2) != c.same {
				t.Errorf("same output: %v, same next seed: %v, want %v", bytes.Equal(out1, out2), bytes.Equal(next1, next2), c.same)
			}
		})
	}
}

// fillRandom fills b with bytes for a test.
func fillRandom(t testing.TB, b []byte) {
	t.Helper()
	if _, err := io.ReadFull(cryptorand.Reader, b); err != nil {
		t.Fatal(err)
	}
}

func TestNVSeedClocksAreReadAgainAfterTheWrite(t *testing.T) {
	s, _ := newSeed(t)
	var durable, after bool
	s.step = func(name string) { durable = durable || name == "durable" }
	s.stamp = func() []byte {
		after = after || durable
		return frozen()
	}
	mustDraw(t, s, 48, "")
	if !after {
		t.Error("a machine that is cloned in the middle of a draw would hand out one output twice")
	}
}

func TestNVSeedGoroutinesExcludeEachOther(t *testing.T) {
	s, path := newSeed(t)
	s.stamp = frozen
	other := openSeed(t, path) // as another part of the program would
	other.stamp = frozen
	var mu sync.Mutex
	seen := map[string]bool{}
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			s := []*NVSeed{s, other}[i%2]
			for range 20 {
				out := make([]byte, 48)
				if _, err := s.Read(out); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				seen[string(out)] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(seen) != 16*20 {
		t.Errorf("%d distinct outputs of %d", len(seen), 16*20)
	}
}

func TestCreateNVSeed(t *testing.T) {
	dir := memoryDir(t)
	path := filepath.Join(dir, "seed")
	if err := CreateNVSeed(path); err != nil {
		t.Fatal(err)
	}
	first := mustReadFile(t, path)
	if len(first) != nvSeedLen || blank(first) {
		t.Errorf("first seed: %d bytes, blank: %v", len(first), blank(first))
	}
	if got := strings.Join(folder(t, dir), " "); got != "seed seed.lock" {
		t.Errorf("the folder holds %s", got)
	}
	err := CreateNVSeed(path)
	if !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), "must not be set back") {
		t.Errorf("a second time: %v", err)
	}
	if !bytes.Equal(first, mustReadFile(t, path)) {
		t.Error("a seed in use was set back")
	}
	if err := CreateNVSeed(filepath.Join(dir, "none", "seed")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in a folder that is missing: %v", err)
	}
}

func TestOpenNVSeedLeavesTheSeedAlone(t *testing.T) {
	_, path := newSeed(t)
	before := mustReadFile(t, path)
	openSeed(t, path)
	if !bytes.Equal(before, mustReadFile(t, path)) {
		t.Error("OpenNVSeed changed the seed")
	}
	if got := strings.Join(folder(t, filepath.Dir(path)), " "); got != "seed seed.lock" {
		t.Errorf("the folder holds %s", got)
	}
}

func TestNVSeedSurvivesChdir(t *testing.T) {
	dir := memoryDir(t)
	t.Chdir(dir)
	if err := CreateNVSeed("seed"); err != nil {
		t.Fatal(err)
	}
	s := openSeed(t, "seed")
	before := mustReadFile(t, "seed")
	t.Chdir(t.TempDir())
	mustDraw(t, s, 48, "")
	if bytes.Equal(before, mustReadFile(t, filepath.Join(dir, "seed"))) {
		t.Error("another file was advanced")
	}
}

func TestNVSeedZeroValue(t *testing.T) {
	if _, err := new(NVSeed).Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "OpenNVSeed") {
		t.Errorf("Read of an NVSeed that was not opened: %v", err)
	}
}

func TestNVSeedErrorLeavesTheSliceAlone(t *testing.T) {
	s, path := newSeed(t)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	out := bytes.Repeat([]byte{0xa5}, 48)
	if n, err := s.Read(out); n != 0 || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Read = %d, %v", n, err)
	}
	if !bytes.Equal(out, bytes.Repeat([]byte{0xa5}, 48)) {
		t.Error("bytes were handed out beside an error")
	}
}

// A goroutine that never comes back from its draw.
func TestNVSeedWaitForAGoroutineIsBounded(t *testing.T) {
	s, _ := newSeed(t)
	in, out := make(chan bool), make(chan bool)
	s.step = func(name string) {
		if name == "derived" {
			in <- true
			<-out
		}
	}
	done := make(chan error)
	go func() { _, err := s.Read(make([]byte, 48)); done <- err }()
	<-in
	other := *s
	other.step, other.wait = nil, 50*time.Millisecond
	_, err := other.Read(make([]byte, 48))
	if err == nil || !strings.Contains(err.Error(), ".lock: held by another goroutine") {
		t.Errorf("while another goroutine is in a draw: %v", err)
	}
	close(out)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := other.Read(make([]byte, 48)); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// signalledHost is a machine whose only detectors are one word of memory and a
// process ID that the test says.
func signalledHost() (h *host, word *uint64, pid *int) {
	memory, id := make([]uint64, 1), 1000
	return &host{
		clones: &cloneWatch{
			forkPage: func() (*uint64, string) { return nil, "left out" },
			identity: func() int { return id },
			signals:  []func() signal{func() signal { return signal{name: "test", memory: memory, watch: []int{0}} }},
		},
		pause:  newPauseDetector(),
		system: cryptoReader,
	}, &memory[0], &id
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
	if err := g.SetPredictionResistance(true); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("SetPredictionResistance(true): %v", err)
	}
	if _, err := New(&Config{Entropy: s, PredictionResistance: true}); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("New with PredictionResistance: %v", err)
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
		return []byte(mustReadN(t, g, 48))
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
	if _, err := New(&Config{Entropy: (*NVSeed)(nil)}); err == nil {
		t.Error("New with a nil *NVSeed as the only source made a generator")
	}
}

// The file was cloned with the machine: to draw from it again would repeat.
func TestNVSeedGeneratorAfterACloneSignal(t *testing.T) {
	for range 3 {
		s, path := newSeed(t)
		h, word, pid := signalledHost()
		g, err := newGenerator(&Config{Entropy: s}, h)
		if err != nil {
			t.Fatal(err)
		}
		for event := range 3 {
			mustReadN(t, g, 48)
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
		before := mustReadN(t, g, 48)
		*pid++
		if after := mustReadN(t, g, 48); after == before {
			t.Error("the same bytes after a fork")
		}
	}
}

// A Reseed that could not draw is no Reseed.
func TestNVSeedGeneratorAfterACloneSignalAndAFailedReseed(t *testing.T) {
	s, path := newSeed(t)
	h, word, _ := signalledHost()
	g, err := newGenerator(&Config{Entropy: s}, h)
	if err != nil {
		t.Fatal(err)
	}
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
	mustReadN(t, g, 48)
}

func mustReadN(t testing.TB, g *Generator, n int) string {
	t.Helper()
	out := make([]byte, n)
	if _, err := g.Read(out); err != nil {
		t.Fatal(err)
	}
	return string(out)
}
