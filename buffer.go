package rand

import "crypto/cipher"

const (
	bufferLen = 6 * maxSmall // output that one request makes for small Reads; 16 states are to stay below 128 KiB
	mixStep   = 4 * blockLen // mixed between two readings of the counter
	mixLen    = 512          // mixed with one salt, or little more; after that new output costs less
)

// A buffer is output that small Reads share. Whoever gets a part of it also erases it.
//
// After a pause a clone may have the buffer, too. What a Read returns from then on is
// mixed: AES_F(x XOR R) XOR R for each block x. F is a key that was generated with the
// buffer. R, the salt, is 16 fresh bytes. Whoever does not know F sees independent blocks
// from two clones as soon as their salts differ in anything. Whoever holds the snapshot
// knows F and x. Then this is the Even-Mansour cipher with the key R: blocks that become
// public give away neither R nor the next block (up to data x time = 2^128). Without the
// second XOR one block would give R.
type buffer struct {
	*kept
	pos    int          // what is not handed out starts here
	erased int          // all before it is erased; less than pos only during a Read
	mixing bool         // clones may have the buffer, but not the salt
	salted int          // pos when the salt was drawn
	cipher cipher.Block // AES under F, made at the first mix
}

// kept is the secrets of a buffer.
type kept struct {
	out  [bufferLen]byte
	key  [keyLen]byte   // F
	salt [blockLen]byte // R
}

// wholeBlocks rounds up: what a block is used for in part is used up.
func wholeBlocks(n int) int { return (n + blockLen - 1) &^ (blockLen - 1) }

// has reports whether there is output for a Read of n bytes.
func (b *buffer) has(n int) bool { return wholeBlocks(n) <= bufferLen-b.pos }

// worn reports whether as much was mixed with one salt as is worth while.
func (b *buffer) worn() bool { return b.mixing && b.pos-b.salted >= mixLen }

// take returns the output for a Read of n bytes. It is never returned again, whatever
// happens to the caller.
func (b *buffer) take(n int) []byte {
	from := b.pos
	b.pos += wholeBlocks(n)
	return b.out[from:b.pos]
}

// takeShort moves the output for a Read of n bytes, at most maxShort, to room.
func (b *buffer) takeShort(room *[maxShort]byte, n int) {
	out := b.take(n)
	*(*[blockLen]byte)(room[:]) = [blockLen]byte(out)
	*(*[blockLen]byte)(out) = [blockLen]byte{}
	if len(out) > blockLen { // faster than a loop
		*(*[blockLen]byte)(room[blockLen:]) = [blockLen]byte(out[blockLen:])
		*(*[blockLen]byte)(out[blockLen:]) = [blockLen]byte{}
	}
	b.erased = b.pos
}

// eraseTaken erases what was taken.
func (b *buffer) eraseTaken() {
	clear(b.out[b.erased:b.pos])
	b.erased = b.pos
}

// erase leaves the buffer empty.
func (b *buffer) erase() {
	clear(b.out[b.erased:])
	clear(b.key[:])
	clear(b.salt[:])
	b.pos, b.erased = bufferLen, bufferLen
	if b.cipher != nil {
		wipeCipher(b.cipher)
	}
	b.mixing, b.cipher = false, nil
}

// fill makes n bytes of new output, whole blocks, and a key for them. It calls made after
// each step; what it reports is for requests that end early, as this one does not.
func (b *buffer) fill(r *request, n int, made func(n int) bool) {
	b.pos, b.erased = bufferLen-n, bufferLen-n
	for out := b.out[b.pos:]; len(out) > 0; {
		step := out[:min(len(out), streamStep)]
		r.fill(step)
		made(len(step))
		out = out[len(step):]
	}
	r.fill(b.key[:])
}

// startMixing says that clones may have what is left.
func (b *buffer) startMixing() {
	b.mixing, b.salted = true, b.pos
	if b.cipher == nil {
		b.cipher = newAES(b.key[:])
	}
}

// mix mixes whole blocks in place. Blocks that are mixed again, with another salt, are
// as good as those that were mixed once.
func (b *buffer) mix(x []byte) {
	for ; len(x) > 0; x = x[blockLen:] {
		xorBlock(x, b.salt[:])
		b.cipher.Encrypt(x, x)
		xorBlock(x, b.salt[:])
	}
}
