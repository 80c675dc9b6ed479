// Package examples shows how libraries that take a reader are given the one of
// github.com/clonerand/rand, and what they keep that it cannot protect.
package examples

import (
	"io"
	"testing"

	"github.com/clonerand/rand"
)

// A counter passes rand.Reader on and counts what is drawn, so that the tests can
// tell that a library draws from it.
type counter struct{ drawn int }

func (c *counter) Read(b []byte) (n int, err error) {
	n, err = rand.Reader.Read(b)
	c.drawn += n
	return n, err
}

var _ io.Reader = (*counter)(nil)

// mustDraw reports whether f draws at least n bytes from the reader that it is given.
func mustDraw(t *testing.T, n int, f func(*counter)) {
	t.Helper()
	c := new(counter)
	if f(c); c.drawn < n {
		t.Errorf("%d bytes were drawn from the reader, want %d at least", c.drawn, n)
	}
}
