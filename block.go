package rand

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/fips140"
	"crypto/subtle"
	"encoding/binary"
)

// newAES expands an AES-256 key to encrypt single blocks with. Whoever has used it up calls
// wipeCipher.
func newAES(key []byte) cipher.Block { return forBlocks(expandAES(key)) }

// forBlocks returns b, or in FIPS mode another for the use of one goroutine at a time.
func forBlocks(b cipher.Block) cipher.Block {
	if fips140.Enabled() {
		return newApprovedBlock(b)
	}
	return b
}

// expandAES expands an AES-256 key for a stream. Whoever has used it up calls wipeCipher.
func expandAES(key []byte) cipher.Block {
	b, err := aes.NewCipher(key)
	if err != nil {
		panic("clonerand: " + err.Error()) // unreachable: the length is right
	}
	return b
}

// approvedBlock encrypts single blocks by CBC, which is the same where the initialization vector is zero. In FIPS
// mode a block by itself is no approved service, and whatever the goroutine does with it is then not approved either,
// such as a TLS handshake with random bytes from here. It is for that mode only, since it allocates a second cipher.
type approvedBlock struct {
	cipher.Block
	mode resettable
}

type resettable interface {
	cipher.BlockMode
	SetIV(iv []byte)
}

func newApprovedBlock(b cipher.Block) approvedBlock {
	mode, ok := cipher.NewCBCEncrypter(b, zeros[:blockLen]).(resettable)
	if !ok {
		panic("clonerand: crypto/aes has no SetIV") // unreachable: all of Go's AES have it
	}
	return approvedBlock{b, mode}
}

func (b approvedBlock) Encrypt(dst, src []byte) {
	b.mode.CryptBlocks(dst[:blockLen], src[:blockLen])
	b.mode.SetIV(zeros[:blockLen]) // which was the block
}

func xorBlock(dst, src []byte) {
	subtle.XORBytes(dst[:blockLen], dst[:blockLen], src[:blockLen])
}

func xorWords(dst []byte, x, y uint64) {
	binary.LittleEndian.PutUint64(dst, binary.LittleEndian.Uint64(dst)^x)
	binary.LittleEndian.PutUint64(dst[8:], binary.LittleEndian.Uint64(dst[8:])^y)
}
