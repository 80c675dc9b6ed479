package examples

import (
	"bytes"
	cryptorand "crypto/rand"
	"fmt"
	"io"
	"testing"

	"filippo.io/age"
	"github.com/clonerand/rand"
)

// age takes no reader. It calls crypto/rand.Read each time, so that it draws from
// what stands in crypto/rand.Reader. A program says this once, in its main package:
//
//	func init() { cryptorand.Reader = rand.Reader }
//
// Its hybrid keys are made with ML-KEM, which does not draw from there.
func Example_age() {
	defer replaceCryptoReader(rand.Reader)()

	identity, _ := age.GenerateX25519Identity()
	var sealed bytes.Buffer
	w, _ := age.Encrypt(&sealed, identity.Recipient())
	io.WriteString(w, "a secret")
	w.Close()

	r, _ := age.Decrypt(&sealed, identity)
	text, err := io.ReadAll(r)
	fmt.Printf("%s %v\n", text, err)
	// Output: a secret <nil>
}

func TestAgeDrawsFromCryptoRandReader(t *testing.T) {
	mustDraw(t, 32, func(c *counter) {
		defer replaceCryptoReader(c)()
		if _, err := age.GenerateX25519Identity(); err != nil {
			t.Error(err)
		}
	})
	identity, _ := age.GenerateX25519Identity()
	mustDraw(t, 16+32+16, func(c *counter) { // file key, ephemeral share, nonce of the payload
		defer replaceCryptoReader(c)()
		w, err := age.Encrypt(io.Discard, identity.Recipient())
		if err != nil {
			t.Fatal(err)
		}
		w.Close()
	})
}

func replaceCryptoReader(r io.Reader) (undo func()) {
	old := cryptorand.Reader
	cryptorand.Reader = r
	return func() { cryptorand.Reader = old }
}
