package rand

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"sync"
	"sync/atomic"
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

func TestDepleteDraws(t *testing.T) {
	for _, x := range bothKinds(t) {
		t.Run(x.name, func(t *testing.T) {
			for _, size := range []int{1, 16, maxSmall, 5000} {
				x.must(t, 16)
				x.source.E()
				x.Deplete()
				if e := x.source.E(); e != 0 {
					t.Errorf("Deplete drew %d times, want 0", e)
				}
				x.must(t, size)
				want := 1
				if size > maxSmall && x.largeReseeds {
					want = 2
				}
				if e := x.source.E(); e != want {
					t.Errorf("the next Read, of %d bytes, drew %d times, want %d", size, e, want)
				}
				x.must(t, 16)
				if e := x.source.E(); e != 0 {
					t.Errorf("the one after it drew %d times, want 0", e)
				}
			}
			x.Deplete()
			x.Deplete()
			x.Deplete()
			x.must(t, 16)
			if e := x.source.E(); e != 1 {
				t.Errorf("after Deplete three times the next Read drew %d times, want 1", e)
			}
		})
	}
}

// A depleted generator is one that gives none of what it had.
func TestDepleteThrowsKeptOutputAway(t *testing.T) {
	run := func(deplete bool) []byte {
		s := newSource("same")
		x := generatorKind(t, "", &Config{Deterministic: true, Entropy: s}, quietHost(newSource("")), s)
		x.must(t, 16)
		if deplete {
			x.Deplete()
		}
		return x.must(t, 16)
	}
	if bytes.Equal(run(true), run(false)) {
		t.Error("what was kept before Deplete is handed out after it")
	}
}

// Every Read of any goroutine that starts after Reseed or Deplete has returned uses
// a state that was seeded afterwards, in whatever shard it ends up.
func TestReadsAfterDepleteAreSeededAfterwards(t *testing.T) {
	s := newSource("system")
	r := newReaderOn(quietHost(s))
	var drawn atomic.Int64
	s.onDraw = func(int) { drawn.Add(1) }
	_, f := r.parts()
	all := func(do func(i int)) {
		var wg sync.WaitGroup
		for i := range f.states {
			wg.Go(func() { do(i) })
		}
		wg.Wait()
	}
	// Each shard is brought into use, and then asked by holding the others.
	all(func(i int) {
		f.states[i].CompareAndSwap(nil, newState(f.conf, f.forks))
		readShard(t, r, i)
	})
	for round, order := range map[string]func(){"Deplete": r.deplete, "Reseed": func() {
		if err := r.reseed([]byte("perso")); err != nil {
			t.Error(err)
		}
	}} {
		order()
		before := drawn.Load()
		all(func(i int) { readShard(t, r, i) })
		if n := drawn.Load() - before; n != int64(len(f.states)) {
			t.Errorf("after %s %d shards of %d have seeded themselves", round, n, len(f.states))
		}
		before = drawn.Load()
		all(func(i int) { readShard(t, r, i) })
		if n := drawn.Load() - before; n != 0 {
			t.Errorf("after %s %d shards have seeded themselves twice", round, n)
		}
	}
}

func readShard(t testing.TB, r *pool, i int) {
	if _, err := r.only(i).Read(make([]byte, 16)); err != nil {
		t.Error(err)
	}
}

// The same with readers that race with who depletes: a Read that started after the
// return of a Deplete was served by a draw that came after it.
func TestDepleteIsSeenAtOnce(t *testing.T) {
	for _, x := range bothKinds(t) {
		t.Run(x.name, func(t *testing.T) {
			var draws atomic.Int64
			x.source.onDraw = func(int) { draws.Add(1) }
			var stop atomic.Bool
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					for !stop.Load() {
						x.must(t, 16)
					}
				})
			}
			for round := range 300 {
				before := draws.Load()
				x.Deplete()
				x.must(t, 16)
				if draws.Load() == before {
					t.Errorf("round %d: a Read after Deplete with nothing drawn since before it", round)
					break
				}
			}
			stop.Store(true)
			wg.Wait()
		})
	}
}

func TestPredictionResistanceDraws(t *testing.T) {
	for _, x := range bothKinds(t) {
		t.Run(x.name, func(t *testing.T) {
			x.must(t, 16)
			x.source.E()
			set := func(on bool) func() {
				return func() {
					if err := x.Resist(on); err != nil {
						t.Fatal(err)
					}
				}
			}
			read := func(n int) func() { return func() { x.must(t, n) } }
			for i, step := range []struct {
				name string
				do   func()
				want int
			}{
				{"on", set(true), 0},
				{"a Read", read(16), 1},
				{"a Read", read(16), 1},
				{"off", set(false), 0},
				{"a Read", read(16), 0},
				{"a Read", read(16), 0},
				{"on", set(true), 0},
				{"on again", set(true), 0},
				{"a Read of 1 byte", read(1), 1},
				{"a Read of 1024 bytes", read(1024), 1},
				{"a Read of no bytes", read(0), 0},
				{"Reseed", func() {
					if err := x.Reseed(nil); err != nil {
						t.Fatal(err)
					}
				}, 1},
				{"a Read after Reseed", read(16), 1},
				{"Deplete", x.Deplete, 0},
				{"a Read after Deplete", read(16), 1},
				{"off", set(false), 0},
				{"a Read", read(16), 0},
			} {
				if step.do(); x.source.E() != step.want {
					t.Errorf("step %d, %s: not %d draws", i, step.name, step.want)
				}
			}
		})
	}
}

// One Read is one seeding, however long it is. Without a usable counter a Read on
// the system source starts each 64 KiB with another anyway (invariant 2).
func TestPredictionResistanceOfALongRead(t *testing.T) {
	for _, x := range bothKinds(t) {
		want := 1
		if x.largeReseeds {
			want = 1 + 16
		}
		if err := x.Resist(true); err != nil {
			t.Fatal(err)
		}
		x.must(t, 16)
		x.source.E()
		x.must(t, 1<<20)
		if e := x.source.E(); e != want {
			t.Errorf("%s: a Read of 1 MiB drew %d times, want %d", x.name, e, want)
		}
	}
}

func TestPredictionResistanceFromTheStart(t *testing.T) {
	s := newSource("own")
	x := generatorKind(t, "", &Config{Entropy: s, PredictionResistance: true}, quietHost(newSource("")), s)
	s.E()
	x.must(t, 16)
	x.must(t, 16)
	if e := s.E(); e != 2 {
		t.Errorf("two Reads drew %d times, want 2", e)
	}
}

// Nothing is kept under prediction resistance, not even for a moment.
func TestPredictionResistanceKeepsNothing(t *testing.T) {
	s := newSource("own")
	g, err := newGenerator(&Config{Entropy: s}, quietHost(newSource("")))
	if err != nil {
		t.Fatal(err)
	}
	g.Read(make([]byte, 100))
	if err := g.SetPredictionResistance(true); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{1, 100, 1024, 5000} {
		b := make([]byte, size)
		g.Read(b)
		if in := g.state(); *in.buffer.kept != (kept{}) {
			t.Errorf("after a Read of %d bytes something is kept", size)
		}
	}
	// After some pauses a large Read goes on as small ones do, which mix or do not.
	for pauses := range 20 {
		w := newWorld(0)
		r := newPool(w.host(), 1)
		r.resist(true)
		w.reading = func() {
			if w.readings <= pauses {
				w.counter += gTicks + us
			}
		}
		readN(t, r, 5000)
		if *r.shard(0).buffer.kept != (kept{}) {
			t.Errorf("after a large Read with %d pauses something is kept", pauses)
		}
	}
}

func TestPredictionResistanceFailsWithTheSource(t *testing.T) {
	for _, x := range bothKinds(t) {
		x.must(t, 16)
		if err := x.Resist(true); err != nil {
			t.Fatal(err)
		}
		x.source.setFail(errors.New("dry"))
		b := bytes.Repeat([]byte{0xa5}, 40)
		if n, err := x.Read(b); n != 0 || !errors.Is(err, ErrEntropy) || !bytes.Equal(b, make([]byte, 40)) {
			t.Errorf("%s: Read = %d, %v, %x, want ErrEntropy and nothing", x.name, n, err, b)
		}
		x.source.setFail(nil)
		x.must(t, 40)
	}
}

// An NV seed alone cannot give prediction resistance, but may be told so.
func TestPredictionResistanceWithAnNVSeedOnly(t *testing.T) {
	seed, _ := newSeed(t)
	if _, err := New(&Config{Entropy: seed, PredictionResistance: true}); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("New = %v, want errors.ErrUnsupported", err)
	}
	g, err := New(&Config{Entropy: seed})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.SetPredictionResistance(true); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("SetPredictionResistance(true) = %v, want errors.ErrUnsupported", err)
	}
	if err := g.SetPredictionResistance(false); err != nil {
		t.Errorf("SetPredictionResistance(false) = %v", err)
	}
	if _, err := g.Read(make([]byte, 16)); err != nil {
		t.Error(err)
	}
	beside, err := New(&Config{NVSeed: seed, PredictionResistance: true})
	if err != nil {
		t.Fatalf("beside another source: %v", err)
	}
	if _, err := beside.Read(make([]byte, 16)); err != nil {
		t.Error(err)
	}
}

// What Reseed draws for the default Reader is in what is read after it.
func TestReseedMixesItsEntropy(t *testing.T) {
	w := newWorld(0)
	r := rested(t, w, 0)
	read := func(drawn uint64) []byte {
		w := w.clone()
		r := cloneReader(r, w)
		after := copyStream(w.system)
		after.Read(make([]byte, entropyLen))
		w.system = streamOf("drawn", drawn)
		if err := r.reseed(nil); err != nil {
			t.Fatal(err)
		}
		w.system = after
		return readN(t, r, 16)
	}
	if !bytes.Equal(read(1), read(1)) {
		t.Fatal("two copies read different bytes, so this test shows nothing")
	}
	if bytes.Equal(read(1), read(2)) {
		t.Error("what Reseed has drawn is not mixed in")
	}
}

// A Read finds kept output as it is again after the switch was on and off.
func TestReadsAreFastAfterPredictionResistance(t *testing.T) {
	w := newWorld(0)
	r := rested(t, w, 0)
	exhaust(t, r)
	readN(t, r, 16) // from a buffer that is not mixed
	r.resist(true)
	r.resist(false)
	readN(t, r, 16)
	if s := r.shard(0); !s.serves(16, r.epoch.Load(), s.window.last+w.step) {
		t.Error("a Read after it is not served on the fast path")
	}
}

func TestDefaultPredictionResistance(t *testing.T) {
	for _, on := range []bool{true, false} {
		if err := SetPredictionResistance(on); err != nil {
			t.Errorf("SetPredictionResistance(%v) = %v", on, err)
		}
		if got := defaultReader.epoch.Load().resist; got != on {
			t.Errorf("after SetPredictionResistance(%v) it is %v", on, got)
		}
		Read(make([]byte, 100))
	}
}

// How often each call asks Entropy, over random sequences of calls: as often as the rules of
// PSA say, whatever pauses and clone signals lie between them. A pause never asks.
func TestEntropyIsAskedOnlyForSeedings(t *testing.T) {
	for kind, h := range map[string]func() (h *host, pause func(), paused bool){
		"Deterministic":     func() (*host, func(), bool) { return quietHost(newSource("machine")), func() {}, false },
		"without a counter": func() (*host, func(), bool) { return mixingHost(newSource("machine")), func() {}, true },
		"with pauses": func() (*host, func(), bool) {
			h := quietHost(newSource("machine"))
			var ticks atomic.Uint64
			h.pause.read = func() uint64 { return ticks.Add(1) }
			h.pause.readFenced = h.pause.read
			h.pause.limits.Load().g = 1 << 20
			return h, func() { ticks.Add(1 << 21) }, false
		},
	} {
		for _, interval := range []uint64{0, 1, 2, 3, 7} {
			h, pause, always := h()
			words := make([]uint64, 1)
			h.clones = wordsWatch(words)
			s := newSource(kind)
			cfg := &Config{Entropy: s, ReseedInterval: interval, Deterministic: kind == "Deterministic"}
			if interval == 0 {
				interval = defaultReseedInterval
			}
			g, err := newGenerator(cfg, h)
			if err != nil {
				t.Fatal(err)
			}
			if e := s.E(); e != 1 {
				t.Errorf("%s: New asked %d times", kind, e)
			}
			// What is expected of the generator.
			seeded, resist, failing, closed, mixing := true, false, false, always, false
			requests, left, want := uint64(0), 0, 0
			seed := func() bool {
				want++
				seeded, requests, left, closed, mixing = !failing, 0, 0, always, false
				return seeded
			}
			request := func() bool { // a Generate
				if requests == interval && !seed() {
					return false
				}
				requests++
				return true
			}
			fresh := func() { left, mixing, closed = 0, false, always }
			read := func(n int) bool {
				if n == 0 {
					return true
				}
				if (resist || !seeded) && !seed() {
					return false
				}
				if n > maxSmall {
					for ; n > 0; n -= maxRequest {
						if requests < interval && !cfg.Deterministic && (closed || mixing) {
							fresh()
						}
						if !request() {
							return false
						}
					}
				} else {
					if n = wholeBlocks(n); n > left {
						if requests < interval && mixing {
							fresh()
						}
						if !request() {
							return false
						}
						if left = bufferLen; resist {
							left = n
						}
					}
					left -= n
					if !cfg.Deterministic && closed {
						closed, mixing = always, true
					}
				}
				if resist {
					fresh()
				}
				return true
			}
			dice := mathrand.New(mathrand.NewPCG(1, interval))
			var calls []string
			for range 2000 {
				call, ok, got := "", true, error(nil)
				switch dice.IntN(12) {
				case 0:
					call, ok = "Reseed", seed()
					got = g.Reseed([]byte("perso"))
				case 1:
					call, seeded = "Deplete", false
					g.Deplete()
				case 2:
					resist = dice.IntN(2) == 0
					call = fmt.Sprint("SetPredictionResistance ", resist)
					got = g.SetPredictionResistance(resist)
				case 3:
					failing = dice.IntN(4) == 0
					call = fmt.Sprint("the source fails: ", failing)
					s.setFail(map[bool]error{true: io.EOF}[failing])
				case 4:
					call, seeded = "a clone signal", false
					words[0]++
				case 5:
					call, closed = "a pause", true
					pause()
				default:
					n := []int{0, 1, 16, 100, maxSmall, maxSmall + 1, maxRequest, maxRequest + 1, 200_000}[dice.IntN(9)]
					call, ok = fmt.Sprint("Read ", n), read(n)
					_, got = g.Read(make([]byte, n))
				}
				calls = append(calls, call)
				if e := s.E(); e != want || (got == nil) != ok {
					t.Fatalf("%s, interval %d: asked %d times, want %d; error %v, want one: %v; after %v", kind, interval, e, want, got, !ok, calls[max(0, len(calls)-12):])
				}
				want = 0
			}
		}
	}
}
