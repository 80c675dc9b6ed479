package rand

import "unsafe"

// noescape hides from the compiler that b goes on to a method of an interface,
// so that the caller's slice may stay on its stack. It is sound where the
// callee keeps no reference to b after it has returned: the streams of
// crypto/cipher do not. Nothing can move the stack between the two lines that
// hold the address as a number, since neither is a call, not even under -race:
// without the directive the compiler would put checkptr's in between. From then on
// it is a pointer like any other, adjusted with the frames that hold it.
//
//go:nocheckptr
func noescape(b []byte) []byte {
	p := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	return unsafe.Slice(*(**byte)(unsafe.Pointer(&p)), len(b))
}
