package rand

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"errors"
)

// Parameters of CTR_DRBG with AES-256, SP 800-90A Rev. 1, table 3.
const (
	keyLen         = 256 / 8           // keylen
	blockLen       = aes.BlockSize     // outlen, ctr_len
	seedLen        = keyLen + blockLen // seedlen
	maxRequest     = (1 << 19) / 8     // max_number_of_bits_per_request
	reseedInterval = uint64(1) << 48   // reseed_interval
	streamStep     = 4096              // how much of a request one call of the cipher makes
	entropyLen     = seedLen           // what one seeding draws: security_strength and half as much again for the nonce, 8.6.7
)

var (
	errRequestTooLong = errors.New("clonerand: more than 2^16 bytes in one request (SP 800-90A, table 3)")
	errReseedRequired = errors.New("clonerand: reseed required (SP 800-90A, table 3)")
)

// A ctrDRBG is the working state of a CTR_DRBG with AES-256 and the derivation
// function, SP 800-90A Rev. 1, section 10.2.1. It is a plain value without pointers: to
// copy it is to clone it, to clear it is to uninstantiate it. It knows no clock, file,
// lock or operating system, and is not safe for concurrent use.
//
// A seeding has two parts: collect, which takes long, and reseed, which is short. So
// the caller can draw late bytes in between, right before they go in.
type ctrDRBG struct {
	key           [keyLen]byte
	v             [blockLen]byte
	reseedCounter uint64 // requests since the state was seeded, plus one

	// Working memory of the functions below. It is part of the state because slices of it
	// go through the interfaces of crypto/cipher, which would move a local variable to the
	// heap. seed holds what collect made until reseed or end takes it.
	seed [seedLen]byte
	df   derivation
}

// newCTRDRBG is CTR_DRBG_Instantiate_algorithm, section 10.2.1.3.2.
func newCTRDRBG(entropy, nonce, perso []byte) *ctrDRBG {
	d := new(ctrDRBG)
	d.collect(entropy, nonce, perso)
	d.reseed(nil)
	return d
}

// collect derives seed material from the inputs, one after the other.
func (d *ctrDRBG) collect(input ...[]byte) { d.df.derive(&d.seed, input...) }

// forget drops what was collected.
func (d *ctrDRBG) forget() { clear(d.seed[:]) }

// reseed is the end of CTR_DRBG_Reseed_algorithm, section 10.2.1.4.2, and on a wiped
// state that of the instantiation. late is XORed into the seed material; it may be nil.
func (d *ctrDRBG) reseed(late []byte) {
	subtle.XORBytes(d.seed[:len(late)], d.seed[:len(late)], late)
	d.update()
	d.reseedCounter = 1
}

// absorb takes what was collected, and late, as the additional input of the next
// request: step 2 of CTR_DRBG_Generate_algorithm, section 10.2.1.5.2.
func (d *ctrDRBG) absorb(late []byte) {
	subtle.XORBytes(d.seed[:len(late)], d.seed[:len(late)], late)
	saved := d.seed
	d.update()
	d.seed = saved // goes in once more at the end of the request
	clear(saved[:])
}

// generate is CTR_DRBG_Generate_algorithm, section 10.2.1.5.2. It fills out, or
// leaves out and state alone and returns an error: for more than 2^16 bytes,
// and for a state that must be reseeded first.
func (d *ctrDRBG) generate(out, additional []byte) error {
	if len(out) > maxRequest {
		return errRequestTooLong
	}
	if d.reseedCounter > reseedInterval {
		return errReseedRequired
	}
	if len(additional) > 0 {
		d.collect(additional)
		d.absorb(nil)
	}
	r := d.begin()
	defer r.wipe() // out may fault
	r.fill(out)
	d.end(&r)
	return nil
}

// A request is the output of one request, which the caller takes in pieces.
type request struct {
	stream cipher.Stream
	block  cipher.Block // the stream has a copy of it, or, in an unknown crypto/aes, uses it
	taken  int
}

// begin starts a request. Until end the state is still the old one, so whoever does not
// come to end must not use it again, and wipes the request.
func (d *ctrDRBG) begin() request {
	increment(&d.v)
	growStack()
	r := newRequest(&d.key, &d.v)
	if protect.wipe {
		clearStack() // package cipher hands the expanded key on by value
	}
	return r
}

// newRequest has a frame of its own, so that clearStack covers it.
//
//go:noinline
func newRequest(key *[keyLen]byte, v *[blockLen]byte) request {
	b := expandAES(key[:])
	return request{stream: cipher.NewCTR(b, v[:]), block: b}
}

// wipe clears the ciphers of a request that is over, and reports whether they were known. The
// block is not wiped before that: in place of an unknown stream it would encrypt with zeros.
func (r *request) wipe() bool {
	wiped := wipeCipher(r.stream)
	return wipeCipher(r.block) && wiped
}

// fill takes the next bytes of the request, at most maxRequest in all.
func (r *request) fill(out []byte) {
	r.taken += len(out)
	for rest := noescape(out); len(rest) > 0; {
		n := min(len(rest), len(zeros))
		// The keystream alone: over zeros that stay in the first-level cache this is one
		// pass over the output; to clear it and encrypt it in place would be two.
		r.stream.XORKeyStream(rest[:n], zeros[:n])
		rest = rest[n:]
	}
}

// end replaces key and V, so that what was generated cannot be found out from the state
// (backtracking resistance).
func (d *ctrDRBG) end(r *request) {
	if n := r.taken % blockLen; n != 0 {
		r.stream.XORKeyStream(d.df.block[n:], zeros[n:blockLen]) // the unused rest of the last block
		clear(d.df.block[n:])
	}
	// CTR_DRBG_Update, 10.2.1.2, whose blocks follow those of the output.
	r.stream.XORKeyStream(d.seed[:], d.seed[:])
	r.wipe()
	d.take()
	d.reseedCounter++
}

// update is CTR_DRBG_Update, section 10.2.1.2, with d.seed as provided data.
func (d *ctrDRBG) update() {
	b := newAES(d.key[:])
	for i := 0; i < seedLen; i += blockLen {
		increment(&d.v)
		b.Encrypt(d.df.block[:], d.v[:])
		subtle.XORBytes(d.seed[i:], d.seed[i:], d.df.block[:])
	}
	wipeCipher(b)
	clear(d.df.block[:])
	d.take()
}

// take makes d.seed the key and V.
func (d *ctrDRBG) take() {
	copy(d.key[:], d.seed[:])
	copy(d.v[:], d.seed[keyLen:])
	clear(d.seed[:])
	if protect.wipe {
		clearVectors()
	}
}

// wipe is CTR_DRBG_Uninstantiate, section 9.4.
func (d *ctrDRBG) wipe() { *d = ctrDRBG{} }

// zeros is never written to.
var zeros [streamStep]byte

// increment is V = (V+1) mod 2^ctr_len.
func increment(v *[blockLen]byte) {
	lo := binary.BigEndian.Uint64(v[8:]) + 1
	binary.BigEndian.PutUint64(v[8:], lo)
	if lo == 0 {
		binary.BigEndian.PutUint64(v[:8], binary.BigEndian.Uint64(v[:8])+1)
	}
}
