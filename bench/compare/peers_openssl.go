//go:build cgo && openssl

package main

/*
#cgo LDFLAGS: -lcrypto
#include <openssl/crypto.h>
#include <openssl/rand.h>

static int openssl_fill(unsigned char *b, int len, long n) {
	for (; n > 0; n--)
		if (RAND_bytes(b, len) != 1)
			return 0;
	return 1;
}
*/
import "C"

import "unsafe"

func opensslPeers() []peer {
	return []peer{{name: "OpenSSL " + C.GoString(C.OpenSSL_version(C.OPENSSL_VERSION_STRING)), clones: "fork (PID)", loop: func(b []byte, n int) {
		if C.openssl_fill((*C.uchar)(unsafe.Pointer(unsafe.SliceData(b))), C.int(len(b)), C.long(n)) != 1 {
			panic("RAND_bytes failed")
		}
	}}}
}
