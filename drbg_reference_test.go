package rand

import (
	"bytes"
	"crypto/aes"
	"encoding/binary"
)

// A reference is CTR_DRBG written down from SP 800-90A Rev. 1 step by step, with
// nothing of this package and AES-256 as its only part.
type reference struct{ key, v []byte }

func newReference(entropy, nonce, perso []byte) *reference {
	r := &reference{make([]byte, 32), make([]byte, 16)}
	r.update(referenceDF(bytes.Join([][]byte{entropy, nonce, perso}, nil)))
	return r
}

func referenceOf(d *ctrDRBG) *reference {
	return &reference{bytes.Clone(d.key[:]), bytes.Clone(d.v[:])}
}

func (r *reference) reseed(entropy, additional []byte) {
	r.update(referenceDF(bytes.Join([][]byte{entropy, additional}, nil)))
}

func (r *reference) generate(size int, additional []byte) []byte {
	provided := make([]byte, 48)
	if len(additional) > 0 {
		provided = referenceDF(additional)
		r.update(provided)
	}
	out := r.blocks((size + 15) / 16)[:size]
	r.update(provided)
	return out
}

func (r *reference) update(provided []byte) {
	next := r.blocks(3)
	for i := range next {
		next[i] ^= provided[i]
	}
	r.key, r.v = next[:32], next[32:]
}

// blocks is n times: V = V+1, append AES(Key, V).
func (r *reference) blocks(n int) (out []byte) {
	for range n {
		for i := 15; i >= 0; i-- {
			if r.v[i]++; r.v[i] != 0 {
				break
			}
		}
		out = append(out, referenceAES(r.key, r.v)...)
	}
	return out
}

func referenceDF(in []byte) []byte {
	s := binary.BigEndian.AppendUint32(nil, uint32(len(in)))
	s = binary.BigEndian.AppendUint32(s, 48)
	s = append(append(s, in...), 0x80)
	for len(s)%16 != 0 {
		s = append(s, 0)
	}
	k := make([]byte, 32)
	for i := range k {
		k[i] = byte(i)
	}
	var temp []byte
	for i := uint32(0); len(temp) < 48; i++ {
		iv := append(binary.BigEndian.AppendUint32(nil, i), make([]byte, 12)...)
		temp = append(temp, referenceBCC(k, append(iv, s...))...)
	}
	k, x := temp[:32], temp[32:48]
	var out []byte
	for len(out) < 48 {
		x = referenceAES(k, x)
		out = append(out, x...)
	}
	return out
}

func referenceBCC(key, data []byte) []byte {
	chain := make([]byte, 16)
	for ; len(data) > 0; data = data[16:] {
		for i := range chain {
			chain[i] ^= data[i]
		}
		chain = referenceAES(key, chain)
	}
	return chain
}

func referenceAES(key, block []byte) []byte {
	b, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	out := make([]byte, 16)
	b.Encrypt(out, block)
	return out
}
