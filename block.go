package rand

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/fips140"
)

// newAES expands an AES-256 key to encrypt single blocks with. The expanded key is garbage
// that the runtime overwrites when it uses the memory again; crypto/aes has no way to
// wipe it.
func newAES(key []byte) cipher.Block {
	b := expandAES(key)
	if fips140.Enabled() {
		b = approvedBlock{b}
	}
	return b
}

// newCTR expands an AES-256 key for a stream.
func newCTR(key, iv []byte) cipher.Stream { return cipher.NewCTR(expandAES(key), iv) }

func expandAES(key []byte) cipher.Block {
	b, err := aes.NewCipher(key)
	if err != nil {
		panic("clonerand: " + err.Error()) // unreachable: the length is right
	}
	return b
}

// approvedBlock encrypts single blocks by way of the counter mode. In FIPS mode a block by itself is a
// service that is not approved, and the Go Cryptographic Module says so of all
// that a goroutine has done: of a TLS handshake, too, that had random bytes from
// here. It allocates, so it is for that mode only.
type approvedBlock struct{ cipher.Block }

func (b approvedBlock) Encrypt(dst, src []byte) {
	cipher.NewCTR(b.Block, src[:blockLen]).XORKeyStream(dst[:blockLen], zeros[:blockLen])
}
