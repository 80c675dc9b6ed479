package main

import (
	"crypto/aes"
	"crypto/cipher"
	cryptorand "crypto/rand"
	mathrand "math/rand/v2"
	"sync"

	clonerand "github.com/clonerand/rand"
	"lukechampine.com/frand"
)

// A peer fills b n times. The loop is inside, so that what is measured is the
// library's own call: for those in C without the way from Go to C.
type peer struct {
	name   string
	clones string // what it does when its state is cloned
	loop   func(b []byte, n int)
	worker *worker // instead of loop: it runs in another process
}

const (
	nameOurs   = "clonerand"
	nameCrypto = "crypto/rand"
	nameFIPS   = "crypto/rand, fips140=on"
	nameFrand  = "frand"
	nameRaw    = "AES-256-CTR alone"
)

// goPeers are those that need no C compiler.
func goPeers() []peer {
	return []peer{
		{name: nameOurs, clones: "pause, fork page, PID, VMClock, SysGenID, generation file: no byte repeats", loop: func(b []byte, n int) {
			for range n {
				clonerand.Read(b)
			}
		}},
		{name: nameCrypto, clones: "fork; after a VM snapshot as soon as the kernel has reseeded", loop: func(b []byte, n int) {
			for range n {
				cryptorand.Read(b)
			}
		}},
		{name: nameFrand, clones: "none: forks and clones repeat", loop: func(b []byte, n int) {
			for range n {
				frand.Read(b)
			}
		}},
		{name: "ChaCha8 with a mutex", clones: "none: forks and clones repeat", loop: lockedChaCha8()},
		{name: nameRaw, clones: "none: no generator, the limit of the machine", loop: rawCTR},
	}
}

func lockedChaCha8() func(b []byte, n int) {
	var seed [32]byte
	cryptorand.Read(seed[:])
	c := mathrand.NewChaCha8(seed)
	var mu sync.Mutex
	return func(b []byte, n int) {
		for range n {
			mu.Lock()
			c.Read(b)
			mu.Unlock()
		}
	}
}

func rawCTR(b []byte, n int) {
	block, err := aes.NewCipher(make([]byte, 32))
	if err != nil {
		panic(err)
	}
	stream := cipher.NewCTR(block, make([]byte, aes.BlockSize))
	for range n {
		stream.XORKeyStream(b, b)
	}
}

// resistantReads are Reads under prediction resistance.
func resistantReads(b []byte, n int) {
	clonerand.SetPredictionResistance(true)
	defer clonerand.SetPredictionResistance(false)
	for range n {
		clonerand.Read(b)
	}
}
