package rand

import (
	"slices"
	"testing"
)

// A machine without a usable counter and without a random instruction, whose kernel
// was cloned with it: the clocks are all that differs.
func TestClonesDifferByTheClockWhereNothingElseDoes(t *testing.T) {
	kernel := func() *host {
		h := newHost()
		h.clones, h.random = noDetectors(), nil
		h.pause = new(pauseDetector)
		h.pause.limits.Store(&pauseLimits{why: "switched off for a test"})
		next := byte(0)
		h.system = readerFunc(func(b []byte) (int, error) {
			for i := range b {
				next++
				b[i] = next
			}
			return len(b), nil
		})
		return h
	}
	for name, size := range map[string]int{"small": 16, "large": 200_000} {
		t.Run(name, func(t *testing.T) {
			o := &order{id: 1}
			template := newInstance(&config{host: kernel(), interval: defaultReseedInterval})
			if err := template.read(make([]byte, 16), o, 0); err != nil {
				t.Fatal(err)
			}
			seen := map[[16]byte]bool{}
			for range 2 {
				clone := newInstance(&config{host: kernel(), interval: defaultReseedInterval})
				clone.seededAs(template)
				clone.orderID = template.orderID
				clone.pos, clone.salted, clone.secrets = template.pos, template.salted, template.secrets
				b := make([]byte, size)
				if err := clone.read(b, o, 0); err != nil {
					t.Fatal(err)
				}
				for block := range slices.Chunk(b, 16) {
					if seen[[16]byte(block)] {
						t.Fatal("a block is in both clones")
					}
					seen[[16]byte(block)] = true
				}
			}
		})
	}
}
