package main

import (
	"crypto/rand"
	"testing"
	"testing/cryptotest"

	clonerand "github.com/clonerand/rand"
	"github.com/clonerand/rand/testdata/whole/early"
)

// What a test sets as the source of package crypto stays that, patched or not.
func TestSetGlobalRandom(t *testing.T) {
	early.Stop() // or they draw in between
	draw := func(seed uint64) (text string) {
		t.Run("", func(t *testing.T) {
			cryptotest.SetGlobalRandom(t, seed)
			text = rand.Text()
		})
		return text
	}
	if a, b := draw(1), draw(1); a != b {
		t.Errorf("%s and %s from the same seed", a, b)
	}
	if a, b := draw(1), draw(2); a == b {
		t.Errorf("%s from two seeds", a)
	}
	if a, b := rand.Text(), rand.Text(); a == b {
		t.Error("the seed stayed when the test was over")
	}
	if a, b := clonerand.Text(), clonerand.Text(); a == b {
		t.Error("the package repeats")
	}
}

// The tests are of a patched program, where that is what is to be tested.
func TestHook(t *testing.T) {
	early.Stop()
	calls := countHook()
	rand.Text()
	if calls.Load() != 1 {
		t.Errorf("the hook was called %d times, want 1", calls.Load())
	}
}
