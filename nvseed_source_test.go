package rand

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"strings"
	"sync/atomic"
	"testing"
)

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
