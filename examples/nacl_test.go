package examples

import (
	"fmt"
	"testing"

	"github.com/clonerand/rand"
	"golang.org/x/crypto/nacl/box"
)

// A nonce must not repeat under one pair of keys, and 24 bytes are enough to draw
// each at random. A counter that a process keeps would repeat in its clones.
func Example_naclBox() {
	alicePublic, alicePrivate, _ := box.GenerateKey(rand.Reader)
	bobPublic, bobPrivate, _ := box.GenerateKey(rand.Reader)

	var nonce [24]byte
	rand.Read(nonce[:])
	sealed := box.Seal(nil, []byte("to Bob"), &nonce, bobPublic, alicePrivate)

	text, ok := box.Open(nil, sealed, &nonce, alicePublic, bobPrivate)
	fmt.Printf("%s %t\n", text, ok)
	// Output: to Bob true
}

func TestNaclBoxDrawsFromTheReader(t *testing.T) {
	mustDraw(t, 32, func(c *counter) {
		if _, _, err := box.GenerateKey(c); err != nil {
			t.Error(err)
		}
	})
	public, _, _ := box.GenerateKey(rand.Reader)
	mustDraw(t, 32, func(c *counter) {
		if _, err := box.SealAnonymous(nil, []byte("m"), public, c); err != nil {
			t.Error(err)
		}
	})
}
