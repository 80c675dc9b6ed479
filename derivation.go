package rand

import (
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"sync/atomic"
)

// derivation is the memory of Block_Cipher_df, section 10.3.2.
type derivation struct {
	chain [seedLen / blockLen][blockLen]byte
	block [blockLen]byte
	fill  int
}

// derive is Block_Cipher_df of the inputs, one after the other, to seedLen bytes.
// Its chains, BCC of 10.3.3 over the same string behind a counter, run side by
// side, so that the string need not be put together.
func (f *derivation) derive(out *[seedLen]byte, input ...[]byte) {
	*f = derivation{}
	b := derivationCipher()
	for i := range f.chain {
		binary.BigEndian.PutUint32(f.chain[i][:], uint32(i)) // IV
		b.Encrypt(f.chain[i][:], f.chain[i][:])
	}
	length := 0
	for _, in := range input {
		length += len(in)
	}
	binary.BigEndian.PutUint32(f.block[:], uint32(length)) // L
	binary.BigEndian.PutUint32(f.block[4:], seedLen)       // N
	f.fill = 8
	for _, in := range input {
		f.absorb(b, in)
	}
	f.block[f.fill] = 0x80
	clear(f.block[f.fill+1:])
	f.chainBlock(b)

	for i := range f.chain {
		copy(out[i*blockLen:], f.chain[i][:])
	}
	k := newAES(out[:keyLen])
	x := &f.block
	copy(x[:], out[keyLen:])
	for i := 0; i < seedLen; i += blockLen {
		k.Encrypt(x[:], x[:])
		copy(out[i:], x[:])
	}
	wipeCipher(k)
	*f = derivation{}
}

func (f *derivation) absorb(b cipher.Block, in []byte) {
	for len(in) > 0 {
		n := copy(f.block[f.fill:], in)
		in = in[n:]
		if f.fill += n; f.fill == blockLen {
			f.chainBlock(b)
		}
	}
}

func (f *derivation) chainBlock(b cipher.Block) {
	for i := range f.chain {
		subtle.XORBytes(f.chain[i][:], f.chain[i][:], f.block[:])
		b.Encrypt(f.chain[i][:], f.chain[i][:])
	}
	f.fill = 0
}

// fixedCipher is AES under the fixed key of Block_Cipher_df, step 8.
var fixedCipher atomic.Pointer[cipher.Block]

// derivationCipher makes it at first use, without a lock that a fork could
// leave behind; that two goroutines may both make it does no harm.
func derivationCipher() cipher.Block {
	if p := fixedCipher.Load(); p != nil {
		return forBlocks(*p)
	}
	var key [keyLen]byte
	for i := range key {
		key[i] = byte(i)
	}
	b := expandAES(key[:])
	fixedCipher.Store(&b)
	return forBlocks(b)
}
