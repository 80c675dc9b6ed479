package rand

import (
	"reflect"
	"sync/atomic"
	"unsafe"
)

// protect is switched off by tests alone, which show that they would notice.
var protect = struct{ slab, wipe bool }{true, true}

// wipeCipher clears what crypto/aes and crypto/cipher keep of a key: a Block or a Stream
// that nobody uses any more. They have no way to do so themselves. Without it the
// expanded keys of past requests would lie on the heap until that memory is used for something
// else, and whoever reads them computes past output.
//
// It clears the struct that c points to, or that its only field does: a stream of package
// cipher holds an *aes.CTR. The struct must be without pointers, by the types of the running
// program. It leaves any other layout as it is (GOEXPERIMENT=boringcrypto and s390x have
// pointers in it) and reports false.
//
// It must not be given a cipher that is shared, such as that of the derivation function.
func wipeCipher(c any) bool {
	if a, ok := c.(approvedBlock); ok {
		wiped := wipeCipher(a.Block)
		return wipeCipher(a.mode) && wiped
	}
	// The runtime and package reflect have an interface in memory like this. cipherType believes
	// it only where reflect finds the same pointer.
	is := (*struct{ of, data unsafe.Pointer })(unsafe.Pointer(&c))
	if is.data == nil || !protect.wipe {
		return false
	}
	for i := range cipherTypes {
		t := cipherTypes[i].Load()
		if t == nil {
			t = &cipherType{is.of, cipherSize(c, is.data)}
			cipherTypes[i].CompareAndSwap(nil, t)
		}
		if t.of == is.of {
			// The pointer is to a value of that size without pointers, so plain stores are enough for
			// the collector.
			clear(unsafe.Slice((*byte)(is.data), t.size))
			return t.size > 0
		}
	}
	return false
}

// cipherTypes remembers what was found out: there are two types, and in FIPS mode a third.
var cipherTypes [4]atomic.Pointer[cipherType]

type cipherType struct {
	of   unsafe.Pointer // the type word of an interface
	size uintptr        // of what is to be cleared; 0: leave it
}

// cipherSize is how much wipeCipher clears at data, which the interface c holds.
func cipherSize(c any, data unsafe.Pointer) uintptr {
	v := reflect.ValueOf(c)
	for v.Kind() == reflect.Struct && v.NumField() == 1 {
		v = v.Field(0)
	}
	if v.Kind() != reflect.Pointer || v.IsNil() || v.UnsafePointer() != data {
		return 0
	}
	if v = v.Elem(); v.Kind() == reflect.Struct && isPlain(v) {
		return v.Type().Size()
	}
	return 0
}

// isPlain reports whether the type of v holds nothing but numbers.
func isPlain(v reflect.Value) bool {
	switch k := v.Kind(); k {
	case reflect.Struct:
		for i := range v.NumField() {
			if !isPlain(v.Field(i)) {
				return false
			}
		}
		return true
	case reflect.Array:
		return v.Len() == 0 || isPlain(v.Index(0))
	default:
		return k >= reflect.Bool && k <= reflect.Complex128 && k != reflect.Uintptr
	}
}

// wipesCiphers reports whether the ciphers of this program can be wiped.
func wipesCiphers() bool {
	var d ctrDRBG // of a key that is public
	r := d.begin()
	return wipeCipher(newAES(d.key[:])) && r.wipe()
}
