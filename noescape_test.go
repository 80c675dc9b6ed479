package rand

import "testing"

// Wherever the stack has to grow, and be moved: what is to be filled is found. Under -race a check of
// the runtime's used to stand where it could not grow.
func TestNoescapeWhileTheStackGrows(t *testing.T) {
	for start := range 64 {
		done := make(chan bool)
		go func() {
			fillAtEachDepth(t, start, 3000)
			close(done)
		}()
		<-done
	}
}

func fillAtEachDepth(t *testing.T, start, depth int) {
	var b [16]byte
	if depth == 0 {
		return
	}
	if start--; start < 0 {
		if fillHidden(b[:]); b[0] != 1 {
			t.Errorf("nothing was filled %d calls before the end", depth)
		}
	}
	fillAtEachDepth(t, start, depth-1)
}

//go:noinline
func fillHidden(b []byte) { noescape(b)[0] = 1 }
