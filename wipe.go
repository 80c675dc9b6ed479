package rand

import (
	"reflect"
	"sync/atomic"
	"unsafe"
)

// wipeCipher clears what crypto/aes and crypto/cipher keep of a key: a Block or a Stream
// that nobody uses any more. They have no way to do so themselves. Without it the
// expanded keys of past requests would lie on the heap until that memory is used for something
// else, and whoever reads them computes past output.
//
// It goes through interfaces and the fields of structs, as the streams of package cipher hold
// an *aes.CTR, and clears what a pointer points to if that is a struct without pointers,
// by the size that reflect knows. All types are those of the running program. It leaves any
// other layout as it is (GOEXPERIMENT=boringcrypto and s390x have pointers in it) and
// reports false.
//
// It must not be given a cipher that is shared, such as that of the derivation function.
func wipeCipher(c any) bool {
	if c == nil || !protect.wipe {
		return false
	}
	return wipeValue(reflect.ValueOf(c))
}

func wipeValue(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Interface:
		return !v.IsNil() && wipeValue(v.Elem())
	case reflect.Struct:
		wiped := v.NumField() > 0
		for i := range v.NumField() {
			wiped = wipeValue(v.Field(i)) && wiped
		}
		return wiped
	case reflect.Pointer:
		size := wipeSize(v.Type())
		if size == 0 || v.IsNil() {
			return false
		}
		// The pointer is to a value of that size in which there are no pointers, so that plain
		// stores are enough for the collector.
		clear(unsafe.Slice((*byte)(v.UnsafePointer()), size))
		return true
	}
	return false
}

// wipeSizes remembers the types that were checked: there are two, and in FIPS mode a third.
var wipeSizes [4]atomic.Pointer[wipeType]

type wipeType struct {
	pointer reflect.Type
	size    uintptr // 0: it must not be cleared
}

// wipeSize is how much is cleared behind a pointer of type t.
func wipeSize(t reflect.Type) uintptr {
	for i := range wipeSizes {
		known := wipeSizes[i].Load()
		if known == nil {
			known = &wipeType{pointer: t}
			if e := t.Elem(); e.Kind() == reflect.Struct && isPlain(e) {
				known.size = e.Size()
			}
			wipeSizes[i].CompareAndSwap(nil, known)
			return known.size
		}
		if known.pointer == t {
			return known.size
		}
	}
	return 0
}

// isPlain reports whether there are numbers alone in a type.
func isPlain(t reflect.Type) bool {
	switch k := t.Kind(); k {
	case reflect.Struct:
		for i := range t.NumField() {
			if !isPlain(t.Field(i).Type) {
				return false
			}
		}
		return true
	case reflect.Array:
		return isPlain(t.Elem())
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

// scrubRegisters overwrites the vector registers, as far as Go can: they hold V and the last
// blocks of output, and the kernel writes them to the stack at the next signal, of which the
// runtime sends many. To move 129 to 256 bytes, Go's memmove on amd64 loads all sixteen that
// crypto/aes uses. It is not inlined, since the compiler would then move b otherwise.
//
//go:noinline
func scrubRegisters(b []byte) {
	if protect.wipe {
		copy(b, zeros[:])
	}
}
