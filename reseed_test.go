package rand

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

func TestInitialSeeding(t *testing.T) {
	for _, c := range []struct {
		name string
		cfg  Config
	}{
		{"plain", Config{}},
		{"with a personalization", Config{Personalization: []byte("perso")}},
		{"under prediction resistance", Config{PredictionResistance: true}},
	} {
		s := newSource(c.name)
		c.cfg.Entropy = s
		if _, err := New(&c.cfg); err != nil {
			t.Fatal(err)
		}
		if e := s.E(); e < 1 || e > 2 {
			t.Errorf("%s: entropy drawn %d times, want 1 or 2", c.name, e)
		}
	}
}

// The default reader draws nothing before it is used.
func TestNothingIsDrawnBeforeFirstUse(t *testing.T) {
	s := newSource("system")
	r := newReaderOn(quietHost(s))
	r.deplete()
	if e := s.E(); e != 0 {
		t.Errorf("entropy drawn %d times before the first Read", e)
	}
	if _, err := r.Read(make([]byte, 16)); err != nil {
		t.Fatal(err)
	}
	if e := s.E(); e != 1 {
		t.Errorf("entropy drawn %d times for the first Read, want 1", e)
	}
}

func TestReseedDraws(t *testing.T) {
	for _, x := range bothKinds(t) {
		t.Run(x.name, func(t *testing.T) {
			x.must(t, 16)
			x.source.E()
			for round := range 3 {
				if err := x.Reseed(nil); err != nil {
					t.Fatal(err)
				}
				if e := x.source.E(); e != 1 {
					t.Errorf("round %d: Reseed drew %d times, want 1", round, e)
				}
				x.must(t, 16)
				if e := x.source.E(); e != x.reseedDraws {
					t.Errorf("round %d: the next Read drew %d times, want %d", round, e, x.reseedDraws)
				}
				x.must(t, 16)
				if e := x.source.E(); e != 0 {
					t.Errorf("round %d: the Read after it drew %d times, want 0", round, e)
				}
			}
		})
	}
}

func TestReseedWithEntropyExhausted(t *testing.T) {
	cause := errors.New("the well is dry")
	for _, x := range bothKinds(t) {
		t.Run(x.name, func(t *testing.T) {
			x.must(t, 16)
			x.source.setFail(cause)
			if err := x.Reseed([]byte("perso")); !errors.Is(err, ErrEntropy) || !errors.Is(err, cause) {
				t.Errorf("Reseed = %v, want ErrEntropy with its cause", err)
			}
			for _, size := range []int{1, 16, maxSmall, maxSmall + 1, 100_000} {
				b := bytes.Repeat([]byte{0xa5}, size)
				n, err := x.Read(b)
				if n != 0 || !errors.Is(err, ErrEntropy) || !errors.Is(err, cause) {
					t.Errorf("then Read of %d bytes = %d, %v, want ErrEntropy with its cause", size, n, err)
				}
				if !bytes.Equal(b, make([]byte, size)) {
					t.Errorf("a Read of %d bytes that failed leaves something", size)
				}
			}
			x.source.setFail(nil)
			x.source.E()
			a := x.must(t, 16)
			if e := x.source.E(); e != 1 {
				t.Errorf("the first Read that works again drew %d times, want 1", e)
			}
			if bytes.Equal(a, x.must(t, 16)) {
				t.Error("the same bytes twice")
			}
		})
	}
}

// A personalization that went with a Reseed that failed is not lost.
func TestPersonalizationSurvivesAFailedReseed(t *testing.T) {
	run := func(perso string) []byte {
		s := newSource("same")
		x := generatorKind(t, "", &Config{Deterministic: true, Entropy: s}, quietHost(newSource("")), s)
		s.setFail(io.EOF)
		if err := x.Reseed([]byte(perso)); err == nil {
			t.Fatal("Reseed worked without entropy")
		}
		s.setFail(nil)
		return x.must(t, 32)
	}
	if !bytes.Equal(run("a"), run("a")) {
		t.Error("not deterministic: this shows nothing")
	}
	if bytes.Equal(run("a"), run("b")) {
		t.Error("the personalization of the failed Reseed is lost")
	}
}

// Same stream, same calls, same bytes; another personalization, other bytes.
func TestPersonalization(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"", "", true},
		{"perso", "perso", true},
		{"perso", "persoperso", false},
		{"perso", "persn", false},
		{"perso", "", false},
		{"perso", "perso\x00", false},
	} {
		for _, how := range []string{"New", "Reseed"} {
			output := func(perso string) []byte {
				s := newSource("same")
				cfg := &Config{Deterministic: true, Entropy: s}
				if how == "New" {
					cfg.Personalization = []byte(perso)
				}
				x := generatorKind(t, "", cfg, quietHost(newSource("")), s)
				if how == "Reseed" {
					if err := x.Reseed([]byte(perso)); err != nil {
						t.Fatal(err)
					}
				}
				return x.must(t, 3000)
			}
			if got := bytes.Equal(output(c.a), output(c.b)); got != c.same {
				t.Errorf("%s with %q and %q: same output %v, want %v", how, c.a, c.b, got, c.same)
			}
		}
	}
}

// How often and in which order personalizations came is told apart too; and to
// begin with, that the same entropy stream gives the same bytes twice.
func TestPersonalizationsAddUp(t *testing.T) {
	histories := map[string][]string{
		"none":        nil,
		"once":        {"perso"},
		"twice":       {"perso", "perso"},
		"three times": {"perso", "perso", "perso"},
		"a, b":        {"a", "b"},
		"b, a":        {"b", "a"},
		"ab":          {"ab"},
		"ab and none": {"ab", ""},
		"none and ab": {"", "ab"},
	}
	output := func(history []string) string {
		s := newSource("same")
		x := generatorKind(t, "", &Config{Deterministic: true, Entropy: s}, quietHost(newSource("")), s)
		for _, perso := range history {
			if err := x.Reseed([]byte(perso)); err != nil {
				t.Fatal(err)
			}
		}
		return string(x.must(t, 32))
	}
	seen := map[string]string{}
	for name, h := range histories {
		out := output(h)
		if out != output(h) {
			t.Errorf("%s: not the same bytes for the same stream and calls", name)
		}
		if other, ok := seen[out]; ok {
			t.Errorf("%q and %q give the same bytes", name, other)
		}
		seen[out] = name
	}
}

// Whatever comes after it, a personalization stays in: Deplete, an empty Reseed, and
// for the default reader in every shard, whether it was in use before or not.
func TestNoPersonalizationIsLost(t *testing.T) {
	for _, after := range []string{"nothing", "Deplete", "Reseed(nil)", "prediction resistance", "a failed Reseed"} {
		output := func(perso string) (out []byte) {
			// The same stream for each shard; on a quiet host without clocks in the seeding of
			// a shard only the chain differs. So every shard is asked by itself.
			s := newSource("same")
			r := newReaderOn(quietHost(s))
			read := func(i int) []byte {
				one := r.only(i)
				one.shard(0).seeded = r.conf().host.clones.current() // not the first seeding, which takes clocks
				return readN(t, one, 16)
			}
			for i := range 4 { // in use before
				read(i)
			}
			if err := r.reseed([]byte(perso)); err != nil {
				t.Fatal(err)
			}
			switch after {
			case "Deplete":
				r.deplete()
			case "Reseed(nil)":
				if err := r.reseed(nil); err != nil {
					t.Fatal(err)
				}
			case "prediction resistance":
				r.resist(true)
			case "a failed Reseed":
				s.setFail(io.EOF)
				r.reseed(nil)
				s.setFail(nil)
			}
			for i := range 8 {
				out = append(out, read(i)...)
			}
			return out
		}
		a, again, b := output("a"), output("a"), output("b")
		for i := 0; i < len(a); i += 16 {
			if !bytes.Equal(a[i:i+16], again[i:i+16]) {
				t.Errorf("%s, shard %d: not deterministic: this shows nothing", after, i/16)
			}
			if bytes.Equal(a[i:i+16], b[i:i+16]) {
				t.Errorf("%s: the personalization is lost in shard %d", after, i/16)
			}
		}
	}
}
