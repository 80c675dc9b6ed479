//go:build cgo && mbedtls

package main

/*
#cgo LDFLAGS: -lmbedcrypto
#include <pthread.h>
#include <unistd.h>
#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/version.h>

// One generator for all threads, as behind psa_generate_random: a look at the PID and
// a mutex around each request. A library built with threads has the mutex inside.
static mbedtls_entropy_context entropy;
static mbedtls_ctr_drbg_context drbg;
static pid_t owner;
#ifndef MBEDTLS_THREADING_C
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
#define LOCK() pthread_mutex_lock(&mutex)
#define UNLOCK() pthread_mutex_unlock(&mutex)
#else
#define LOCK()
#define UNLOCK()
#endif

static int start(void) {
	mbedtls_entropy_init(&entropy);
	mbedtls_ctr_drbg_init(&drbg);
	owner = getpid();
	return mbedtls_ctr_drbg_seed(&drbg, mbedtls_entropy_func, &entropy, NULL, 0);
}

static void resist(int on) { mbedtls_ctr_drbg_set_prediction_resistance(&drbg, on); }

static int request(unsigned char *b, size_t len) {
	pid_t now = getpid();
	if (now != owner) {
		int err = mbedtls_ctr_drbg_reseed(&drbg, NULL, 0);
		if (err != 0)
			return err;
		owner = now;
	}
	while (len > 0) {
		size_t part = len < MBEDTLS_CTR_DRBG_MAX_REQUEST ? len : MBEDTLS_CTR_DRBG_MAX_REQUEST;
		int err = mbedtls_ctr_drbg_random(&drbg, b, part);
		if (err != 0)
			return err;
		b += part;
		len -= part;
	}
	return 0;
}

static int mbedtls_fill(unsigned char *b, size_t len, long n) {
	for (; n > 0; n--) {
		LOCK();
		int err = request(b, len);
		UNLOCK();
		if (err != 0)
			return err;
	}
	return 0;
}
*/
import "C"

import (
	"fmt"
	"unsafe"
)

const mbedtlsName = "Mbed TLS " + C.MBEDTLS_VERSION_STRING

func mbedtlsPeers() (plain, resistant []peer) {
	check(C.start())
	plain = []peer{{name: mbedtlsName, clones: "fork (PID)", loop: mbedtlsFill}}
	resistant = []peer{{name: mbedtlsName, loop: func(b []byte, n int) {
		C.resist(1)
		defer C.resist(0)
		mbedtlsFill(b, n)
	}}}
	return plain, resistant
}

func mbedtlsFill(b []byte, n int) {
	check(C.mbedtls_fill((*C.uchar)(unsafe.Pointer(unsafe.SliceData(b))), C.size_t(len(b)), C.long(n)))
}

func check(err C.int) {
	if err != 0 {
		panic(fmt.Sprintf("Mbed TLS: error -0x%x", -err))
	}
}
