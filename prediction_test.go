package rand

import (
	"bytes"
	"errors"
	"testing"
)

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
	path := t.TempDir() + "/seed"
	if err := CreateNVSeed(path); err != nil {
		t.Fatal(err)
	}
	seed, err := OpenNVSeed(path)
	if err != nil {
		t.Fatal(err)
	}
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
