package rand

import (
	"bytes"
	"crypto/aes"
	"testing"
)

// Whoever encrypts a block in FIPS mode gets what AES makes of it, in place too.
func TestApprovedBlockIsAES(t *testing.T) {
	for i := range 1000 {
		var key [keyLen]byte
		var block, want [blockLen]byte
		Read(key[:])
		Read(block[:])
		if i%2 == 0 {
			block = [blockLen]byte{15: 0xff} // a counter that runs over
		}
		plain, err := aes.NewCipher(key[:])
		if err != nil {
			t.Fatal(err)
		}
		plain.Encrypt(want[:], block[:])
		from := block
		var apart [blockLen]byte
		b := newApprovedBlock(plain)
		b.Encrypt(apart[:], block[:])
		if block != from {
			t.Fatal("the source was changed")
		}
		b.Encrypt(block[:], block[:])
		if !bytes.Equal(apart[:], want[:]) || block != want {
			t.Fatalf("%x and in place %x, want %x", apart, block, want)
		}
	}
}
