package probe

import (
	"sync/atomic"
	"testing"
)

// Who stops a run at once finds a read of each generator all the same.
func TestLoopReadsEachGenerator(t *testing.T) {
	generators := []Generator{CryptoRand(), NewControl()}
	var specs []Spec
	for _, g := range generators {
		specs = append(specs, Spec{Name: g.Name, Chunks: 4, Records: 16, Bytes: 256, After: 1})
	}
	_, r := newRegion(t, specs...)
	counter, _ := NewCounter(false)
	var stop atomic.Bool
	stop.Store(true)
	if err := (Loop{Counter: counter, Generators: generators, Logs: r.Logs, Size: func(int) int { return 16 }}).Run(&stop); err != nil {
		t.Fatal(err)
	}
	for i, l := range r.Logs {
		if l.Count() == 0 {
			t.Errorf("no read of %s", specs[i].Name)
		}
	}
}
