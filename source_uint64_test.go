package rand

import (
	mathrand "math/rand/v2"
	"testing"
)

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
