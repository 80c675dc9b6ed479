// A Go library for C hosts that fork: build it with -buildmode=c-archive or c-shared.
package main

import "C"

import (
	"runtime"
	"unsafe"

	"github.com/clonerand/rand"
)

// chost_read fills n bytes at p, and returns 0, or 1 where that failed.
//
//export chost_read
func chost_read(p unsafe.Pointer, n C.size_t) C.int {
	// The caller owns n bytes at p for the time of the call.
	if _, err := rand.Reader.Read(unsafe.Slice((*byte)(p), int(n))); err != nil {
		return 1
	}
	return 0
}

//export chost_generation
func chost_generation() C.ulonglong { return C.ulonglong(rand.Generation()) }

// chost_busy starts goroutines that read and allocate for ever.
//
//export chost_busy
func chost_busy(goroutines C.int) {
	for range goroutines {
		go func() {
			for {
				b := make([]byte, 1024)
				rand.Reader.Read(b)
				kept = b
			}
		}()
	}
}

var kept []byte

// chost_alloc allocates so many KiB of garbage.
//
//export chost_alloc
func chost_alloc(kib C.int) {
	for range kib {
		kept = make([]byte, 1024)
	}
}

//export chost_gc
func chost_gc() { runtime.GC() }

// chost_goroutine starts a goroutine and waits for it.
//
//export chost_goroutine
func chost_goroutine() {
	done := make(chan bool)
	go func() { done <- true }()
	<-done
}

// chost_on_clone registers a function that waits for a clone.
//
//export chost_on_clone
func chost_on_clone() { rand.OnClone(func(uint64) {}) }

func main() {}
