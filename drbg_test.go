package rand

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"
	"unsafe"
)

// TestVectors runs NIST's vectors, see the head of the file for their form.
func TestVectors(t *testing.T) {
	text, err := os.ReadFile("testdata/ctr_drbg_aes256_df.txt")
	if err != nil {
		t.Fatal(err)
	}
	vectors := 0
	for number, line := range strings.Split(string(text), "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		vectors++
		runVector(t, number+1, strings.Fields(line))
	}
	if vectors != 240 {
		t.Errorf("%d vectors, want all 240", vectors)
	}
}

func runVector(t *testing.T, number int, fields []string) {
	t.Helper()
	next := func() string {
		if len(fields) == 0 {
			t.Fatalf("line %d ends early", number)
		}
		f := fields[0]
		fields = fields[1:]
		return f
	}
	input := func() []byte {
		f := next()
		if f == "-" {
			return nil
		}
		b, err := hex.DecodeString(f)
		if err != nil {
			t.Fatalf("line %d: %v", number, err)
		}
		return b
	}
	var d *ctrDRBG
	out := make([]byte, 64)
	for {
		switch call := next(); call {
		case "i":
			entropy, nonce, perso := input(), input(), input()
			d = newCTRDRBG(entropy, nonce, perso)
		case "r":
			entropy, additional := input(), input()
			reseed(d, entropy, additional)
		case "g":
			if err := d.generate(out, input()); err != nil {
				t.Fatalf("line %d: %v", number, err)
			}
		case "=":
			if want := input(); !bytes.Equal(out, want) {
				t.Errorf("line %d: generated %x, want %x", number, out, want)
			}
			return
		default:
			t.Fatalf("line %d: no call %q", number, call)
		}
	}
}

func TestCounterCarries(t *testing.T) {
	ff := func(n int) []byte { return bytes.Repeat([]byte{0xff}, n) }
	for _, c := range []struct {
		name string
		v    []byte
	}{
		{"over 8 bits", append(make([]byte, 15), 0xff)},
		{"over 32 bits", append(make([]byte, 12), ff(4)...)},
		{"over 64 bits at once", append(make([]byte, 8), ff(8)...)},
		{"over 64 bits in the first output", append(append(make([]byte, 8), ff(7)...), 0xfe)},
		{"over 64 bits far into the output", append(append(make([]byte, 8), ff(7)...), 0x80)},
		{"over 128 bits at once", ff(16)},
		{"over 128 bits in the first output", append(ff(15), 0xfe)},
		{"over 128 bits far into the output", append(ff(15), 0x80)},
		{"over 128 bits after 512 blocks", append(ff(14), 0xfd, 0xff)},
		{"over 128 bits in the update", append(ff(15), 0xf6)},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, size := range []int{0, 1, 16, 100, 144, 4096, 4097, 10000, maxRequest} {
				d := newCTRDRBG([]byte("entropy"), nil, nil)
				copy(d.v[:], c.v)
				ref := referenceOf(d)
				checkGenerate(t, d, ref, size, nil)
				checkGenerate(t, d, ref, 33, []byte("additional"))

				copy(d.v[:], c.v)
				ref = referenceOf(d)
				reseed(d, []byte("more"), nil)
				ref.reseed([]byte("more"), nil)
				checkGenerate(t, d, ref, 16, nil)
			}
		})
	}
}

func TestRequestSizes(t *testing.T) {
	d, ref := newCTRDRBG([]byte("e"), []byte("n"), nil), newReference([]byte("e"), []byte("n"), nil)
	for _, size := range []int{0, 1, 15, 16, 17, 0, 47, 48, 49, 4095, 4096, 4097, maxRequest - 1, maxRequest} {
		checkGenerate(t, d, ref, size, nil)
	}
	if maxRequest != 1<<16 {
		t.Errorf("a request is at most %d bytes, want 2^16", maxRequest)
	}
}

// Inputs of any length, across the blocks of the derivation function.
func TestInputSizes(t *testing.T) {
	long := bytes.Repeat([]byte("0123456789abcdef-"), 70_000/17)
	for _, size := range []int{0, 1, 7, 8, 9, 15, 16, 23, 24, 25, 40, 48, 255, 256, 4096, len(long)} {
		in := long[:size]
		d, ref := newCTRDRBG([]byte("entropy"), []byte("nonce"), in), newReference([]byte("entropy"), []byte("nonce"), in)
		checkGenerate(t, d, ref, 64, in)
		reseed(d, []byte("entropy"), in)
		ref.reseed([]byte("entropy"), in)
		checkGenerate(t, d, ref, 64, nil)
		reseed(d, in, nil)
		ref.reseed(in, nil)
		checkGenerate(t, d, ref, 64, nil)
	}
}

func TestGenerateRefusals(t *testing.T) {
	for _, c := range []struct {
		name    string
		counter uint64
		size    int
		want    error
	}{
		{"2^16 bytes", 1, 1 << 16, nil},
		{"2^16 and 1 bytes", 1, 1<<16 + 1, errRequestTooLong},
		{"many bytes", 1, 1 << 20, errRequestTooLong},
		{"request 2^48", 1 << 48, 16, nil},
		{"request 2^48 and 1", 1<<48 + 1, 16, errReseedRequired},
		{"no bytes in request 2^48 and 1", 1<<48 + 1, 0, errReseedRequired},
		{"the last request there could be", ^uint64(0), 16, errReseedRequired},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newCTRDRBG([]byte("entropy"), nil, nil)
			d.reseedCounter = c.counter
			before := *d
			out := bytes.Repeat([]byte{0xa5}, c.size)
			if err := d.generate(out, []byte("additional")); !errors.Is(err, c.want) {
				t.Fatalf("error %v, want %v", err, c.want)
			}
			if c.want == nil {
				if *d == before {
					t.Error("the state has not moved on")
				}
				return
			}
			if *d != before {
				t.Error("a refused request changed the state")
			}
			if !bytes.Equal(out, bytes.Repeat([]byte{0xa5}, c.size)) {
				t.Error("a refused request changed the output")
			}
			reseed(d, []byte("fresh"), nil)
			if err := d.generate(make([]byte, 16), nil); err != nil {
				t.Errorf("after a reseed: %v", err)
			}
		})
	}
}

// The counter of table 3 counts requests since the seeding.
func TestReseedCounter(t *testing.T) {
	d := newCTRDRBG([]byte("entropy"), nil, nil)
	for i := range uint64(5) {
		if d.reseedCounter != 1+i {
			t.Errorf("reseed_counter %d after %d requests", d.reseedCounter, i)
		}
		d.generate(make([]byte, 40), nil)
	}
	if reseed(d, nil, nil); d.reseedCounter != 1 {
		t.Errorf("reseed_counter %d after a reseed, want 1", d.reseedCounter)
	}
}

// What is no part of the state must hold nothing between two calls.
func TestWorkingMemoryIsCleared(t *testing.T) {
	d := newCTRDRBG([]byte("entropy"), []byte("nonce"), []byte("perso"))
	for _, c := range []struct {
		name string
		do   func()
	}{
		{"instantiate", func() {}},
		{"reseed", func() { reseed(d, []byte("entropy"), []byte("additional")) }},
		{"generate", func() { d.generate(make([]byte, 33), nil) }},
		{"generate with additional input", func() { d.generate(make([]byte, 33), []byte("additional")) }},
	} {
		if c.do(); d.seed != [seedLen]byte{} || d.df != (derivation{}) {
			t.Errorf("%s leaves something in the working memory", c.name)
		}
	}
	if d.wipe(); *d != (ctrDRBG{}) {
		t.Error("something is left after wipe")
	}
}

// A copy of the state is a clone, and the parameters are copied, not kept.
func TestStateIsAValue(t *testing.T) {
	entropy := []byte("entropy")
	d := newCTRDRBG(entropy, nil, nil)
	clone := *d
	clear(entropy)
	a, b := make([]byte, 100), make([]byte, 100)
	d.generate(a, nil)
	clone.generate(b, nil)
	if !bytes.Equal(a, b) {
		t.Error("a copy of the state does not generate the same")
	}
}

func checkGenerate(t *testing.T, d *ctrDRBG, ref *reference, size int, additional []byte) {
	t.Helper()
	out := bytes.Repeat([]byte{0xa5}, size+1)
	if err := d.generate(out[:size], additional); err != nil {
		t.Fatalf("%d bytes: %v", size, err)
	}
	if want := ref.generate(size, additional); !bytes.Equal(out[:size], want) {
		t.Errorf("%d bytes: not the reference's", size)
	}
	if out[size] != 0xa5 {
		t.Errorf("%d bytes: wrote behind the end", size)
	}
	checkState(t, d, ref)
}

func checkState(t *testing.T, d *ctrDRBG, ref *reference) {
	t.Helper()
	if !bytes.Equal(d.key[:], ref.key) || !bytes.Equal(d.v[:], ref.v) {
		t.Error("the state is not the reference's")
	}
}

// reseed is the whole of CTR_DRBG_Reseed_algorithm.
func reseed(d *ctrDRBG, entropy, additional []byte) {
	d.collect(entropy, additional)
	d.reseed(nil)
}

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
	k, x := referenceDFKey(in)
	var out []byte
	for len(out) < 48 {
		x = referenceAES(k, x)
		out = append(out, x...)
	}
	return out
}

// referenceDFKey is K and X of 10.3.2.
func referenceDFKey(in []byte) (k, x []byte) {
	s := binary.BigEndian.AppendUint32(nil, uint32(len(in)))
	s = binary.BigEndian.AppendUint32(s, 48)
	s = append(append(s, in...), 0x80)
	for len(s)%16 != 0 {
		s = append(s, 0)
	}
	fixed := make([]byte, 32)
	for i := range fixed {
		fixed[i] = byte(i)
	}
	var temp []byte
	for i := uint32(0); len(temp) < 48; i++ {
		iv := append(binary.BigEndian.AppendUint32(nil, i), make([]byte, 12)...)
		temp = append(temp, referenceBCC(fixed, append(iv, s...))...)
	}
	return temp[:32], temp[32:48]
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

// FuzzGenerate: whatever the inputs, one call, the same in pieces, and the
// reference agree.
func FuzzGenerate(f *testing.F) {
	f.Add([]byte("entropy"), []byte("nonce"), []byte("perso"), []byte("additional"), []byte{16, 0, 1, 255, 33})
	f.Add([]byte{}, []byte{}, []byte{}, []byte{}, []byte{})
	f.Add(bytes.Repeat([]byte{0xff}, 48), []byte{}, bytes.Repeat([]byte{1}, 300), []byte{0}, []byte{15, 1, 16, 17, 200, 200, 200})
	f.Fuzz(func(t *testing.T, entropy, nonce, perso, additional, pieces []byte) {
		d, ref := newCTRDRBG(entropy, nonce, perso), newReference(entropy, nonce, perso)
		if len(perso) >= blockLen {
			copy(d.v[:], perso) // any counter, too
			ref = referenceOf(d)
		}
		total := 0
		for _, n := range pieces[:min(len(pieces), 200)] {
			total += int(n) * 5
		}
		total = min(total, maxRequest)
		whole := *d
		inPieces := make([]byte, 0, total)
		r := d.begin()
		for _, n := range pieces {
			piece := make([]byte, min(int(n)*5, total-len(inPieces)))
			r.fill(piece)
			inPieces = append(inPieces, piece...)
		}
		d.end(&r)
		out := make([]byte, total)
		if err := whole.generate(out, nil); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(inPieces, out) {
			t.Error("in pieces it is not what one call makes")
		}
		if *d != whole {
			t.Error("in pieces it leaves another state than one call")
		}
		if want := ref.generate(total, nil); !bytes.Equal(out, want) {
			t.Error("the output is not the reference's")
		}
		checkState(t, d, ref)
		checkGenerate(t, d, ref, len(pieces)%100, additional)
		reseed(d, nonce, additional)
		ref.reseed(nonce, additional)
		checkGenerate(t, d, ref, 32, nil)
	})
}

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

// Ciphers are wiped as a whole, and what holds a pointer is not touched.
func TestCiphersAreWiped(t *testing.T) {
	key := bytes.Repeat([]byte{0x5a}, keyLen)
	block := expandAES(key)
	if !wipesCiphers() {
		t.Skipf("crypto/aes has another layout here: %T", block)
	}
	stream := cipher.NewCTR(block, key[:blockLen])
	memory := func(p reflect.Value) []byte {
		return unsafe.Slice((*byte)(p.UnsafePointer()), p.Type().Elem().Size())
	}
	for name, m := range map[string][]byte{
		"block":  memory(reflect.ValueOf(block)),
		"stream": memory(reflect.ValueOf(stream).Field(0)),
	} {
		if !bytes.Contains(m, key) {
			t.Errorf("%s: the key is not in it, so that this shows nothing", name)
		}
		c := any(block)
		if name == "stream" {
			c = stream
		}
		if !wipeCipher(c) || !bytes.Equal(m, make([]byte, len(m))) {
			t.Errorf("%s: not wiped: %x", name, m)
		}
	}

	approved := newApprovedBlock(expandAES(key))
	mode := memory(reflect.ValueOf(approved.mode))
	if wipeCipher(approved); bytes.Contains(mode, key) {
		t.Error("the CBC mode of FIPS mode keeps the key")
	}
	if isPlain(reflect.ValueOf(struct{ u uintptr }{})) {
		t.Error("a uintptr, which may be a pointer, is taken for a number")
	}

	type pointer struct{ p *int }
	n := 1
	with := &struct {
		key  [32]byte
		more [2]pointer
	}{[32]byte{1}, [2]pointer{{&n}, {&n}}}
	if wipeCipher(with) || with.key[0] != 1 || with.more[1].p != &n {
		t.Error("a struct with pointers was wiped")
	}
	none := reflect.Zero(reflect.TypeOf(block)).Interface()
	if wipeCipher(nil) || wipeCipher(none) || wipeCipher((*[3]int)(nil)) || wipeCipher(7) {
		t.Error("wipeCipher says that it has wiped nothing")
	}
}

// An unknown stream may use the block itself: with a block that was wiped too early its output would
// be that of a known key.
func TestABlockIsNotWipedBeforeItsStream(t *testing.T) {
	d := newCTRDRBG([]byte("entropy"), nil, nil)
	var got, want [blockLen]byte
	expandAES(d.key[:]).Encrypt(want[:], want[:])
	r := d.begin()
	r.fill(make([]byte, 64))
	if r.block.Encrypt(got[:], got[:]); got != want {
		t.Error("the block of a request was wiped before its end")
	}
	d.end(&r)
	got = [blockLen]byte{}
	if r.block.Encrypt(got[:], got[:]); got == want && wipesCiphers() {
		t.Error("the block of a request was not wiped at its end")
	}
}
