package rand

import (
	"crypto/aes"
	"crypto/cipher"
	cryptorand "crypto/rand"
	"encoding/binary"
	"fmt"
	"math/big"
	"runtime"
	"testing"
)

// An impl fills b n times. The loop is inside, so that the call is a direct one.
type impl struct {
	name string
	loop func(b []byte, n int)
}

var (
	ourReads = impl{"clonerand", func(b []byte, n int) {
		for range n {
			Read(b)
		}
	}}
	cryptoReads = impl{"crypto", func(b []byte, n int) {
		for range n {
			cryptorand.Read(b)
		}
	}}
	// ctrReads is the limit of the machine: the cipher alone, one key for everything.
	ctrReads = impl{"aesctr", func(b []byte, n int) {
		block, err := aes.NewCipher(make([]byte, keyLen))
		if err != nil {
			panic(err)
		}
		stream := cipher.NewCTR(block, make([]byte, blockLen))
		for range n {
			stream.XORKeyStream(b, b)
		}
	}}
)

var readSizes = []int{16, 32, 64, 256, 1 << 10, 4 << 10, 64 << 10, 1 << 20}

// p256Order is the order of the curve P-256 (SP 800-186, 3.2.1.3).
var p256Order, _ = new(big.Int).SetString("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551", 16)

func BenchmarkRead(b *testing.B) {
	eachRead(b, func(b *testing.B, size int, i impl) { i.loop(make([]byte, size), b.N) })
}

func BenchmarkReadParallel(b *testing.B) {
	eachRead(b, func(b *testing.B, size int, i impl) {
		together(runtime.GOMAXPROCS(0), b.N, size, i.loop)
	})
}

func eachRead(b *testing.B, run func(b *testing.B, size int, i impl)) {
	for _, size := range readSizes {
		for _, i := range []impl{ourReads, cryptoReads, ctrReads} {
			b.Run(fmt.Sprintf("size=%d/impl=%s", size, i.name), func(b *testing.B) {
				b.SetBytes(int64(size))
				b.ReportAllocs()
				run(b, size, i)
			})
		}
	}
}

func BenchmarkText(b *testing.B) {
	besideCrypto(b, 16, func() { Text() }, func() { cryptorand.Text() })
}

func BenchmarkInt(b *testing.B) {
	besideCrypto(b, 32,
		func() { Int(Reader, p256Order) },
		func() { cryptorand.Int(cryptorand.Reader, p256Order) })
}

func BenchmarkPrime(b *testing.B) {
	besideCrypto(b, 32,
		func() { Prime(Reader, 256) },
		func() { cryptorand.Prime(cryptorand.Reader, 256) })
}

func BenchmarkUint64(b *testing.B) {
	g, err := New(nil)
	if err != nil {
		b.Fatal(err)
	}
	var x [8]byte
	besideCrypto(b, 8,
		func() { g.Uint64() },
		func() {
			cryptorand.Read(x[:])
			binary.LittleEndian.Uint64(x[:])
		})
}

// besideCrypto runs a function of this package beside what crypto/rand has in its place.
func besideCrypto(b *testing.B, bytes int64, ours, theirs func()) {
	b.Helper()
	for _, i := range []struct {
		name string
		call func()
	}{{"clonerand", ours}, {"crypto", theirs}} {
		b.Run("impl="+i.name, func(b *testing.B) {
			b.SetBytes(bytes)
			b.ReportAllocs()
			for b.Loop() {
				i.call()
			}
		})
	}
}
