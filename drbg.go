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

// ctrDRBG is the working state of a CTR_DRBG with AES-256 and the derivation
// function, SP 800-90A Rev. 1, section 10.2.1. It is a plain value without
// pointers: to copy it is to clone it, to clear it is to uninstantiate it. It
// knows no clock, file, lock or operating system, and is not safe for
// concurrent use.
type ctrDRBG struct {
	key           [keyLen]byte
	v             [blockLen]byte
	reseedCounter uint64 // requests since the state was seeded, plus one

	// Working memory of the functions below. It is part of the state because
	// slices of it go through the interfaces of crypto/cipher, which would move
	// a local variable to the heap.
	seed [seedLen]byte
	df   derivation
}

// newCTRDRBG is CTR_DRBG_Instantiate_algorithm, section 10.2.1.3.2.
func newCTRDRBG(entropy, nonce, perso []byte) *ctrDRBG {
	d := new(ctrDRBG)
	d.instantiate(entropy, nonce, perso)
	return d
}

// instantiate is newCTRDRBG on memory that is there already.
func (d *ctrDRBG) instantiate(input ...[]byte) {
	d.wipe()
	d.derive(input...)
	d.seeded()
}

// reseed is CTR_DRBG_Reseed_algorithm, section 10.2.1.4.2.
func (d *ctrDRBG) reseed(entropy, additional []byte) {
	d.derive(entropy, additional)
	d.seeded()
}

// derive is the first half of a seeding: the inputs become the seed material, d.seed.
func (d *ctrDRBG) derive(input ...[]byte) { d.df.derive(&d.seed, input...) }

// seeded is the second half: the seed material goes into the state, and the
// requests count from one again.
func (d *ctrDRBG) seeded() {
	d.update()
	d.reseedCounter = 1
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
		d.derive(additional)
		saved := d.seed
		d.update()
		d.seed = saved
	}
	r := d.begin()
	r.fill(out)
	d.end(&r)
	return nil
}

// A request is a generate under way: the caller takes its output in pieces.
type request struct {
	stream cipher.Stream
	taken  int
}

// begin starts a request without additional input. Until end the state is still
// the old one.
func (d *ctrDRBG) begin() request {
	increment(&d.v)
	return request{stream: newCTR(d.key[:], d.v[:])}
}

// fill takes the next bytes of the request.
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

// end replaces key and V, so that what was generated can not be found out from
// the state (backtracking resistance). d.seed holds the derived additional input.
func (d *ctrDRBG) end(r *request) {
	if n := r.taken % blockLen; n != 0 {
		r.stream.XORKeyStream(d.df.block[n:], zeros[n:blockLen]) // the unused rest of the last block
		clear(d.df.block[n:])
	}
	// CTR_DRBG_Update, 10.2.1.2, whose blocks follow those of the output.
	r.stream.XORKeyStream(d.seed[:], d.seed[:])
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
	clear(d.df.block[:])
	d.take()
}

// take makes d.seed the key and V.
func (d *ctrDRBG) take() {
	copy(d.key[:], d.seed[:])
	copy(d.v[:], d.seed[keyLen:])
	clear(d.seed[:])
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
