package rand

import (
	"bytes"
	"crypto/cipher"
	"reflect"
	"testing"
	"unsafe"
)

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
