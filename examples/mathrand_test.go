package examples

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	clonerand "github.com/clonerand/rand"
)

// A Generator is a Source of math/rand/v2: shuffles, ranges and permutations that
// nobody can foresee and no clone repeats. A rand.Rand over it keeps nothing back.
// It may be used by several goroutines at once, but they take turns.
func Example_mathRand() {
	g, err := clonerand.New(nil)
	if err != nil {
		panic(err)
	}
	r := rand.New(g)

	cards := r.Perm(52)
	fmt.Println(len(cards), r.IntN(6) < 6)
	// Output: 52 true
}

func TestMathRandPermutes(t *testing.T) {
	g, err := clonerand.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(g)
	for range 100 {
		p := r.Perm(52)
		slices.Sort(p)
		for i := range p {
			if p[i] != i {
				t.Fatalf("not a permutation: %v", p)
			}
		}
	}
}
