package probe

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"fmt"
	"runtime"
	"sync/atomic"
)

// A Generator is what is recorded. Each goroutine that reads it makes a reader of its own.
type Generator struct {
	Name string
	New  func() (read func([]byte) error, err error)
}

// Control is plain AES-CTR, which repeats in every clone. Where it does not, nothing was cloned.
const Control = "AES-CTR"

// NewControl returns it.
func NewControl() Generator {
	return Generator{Control, func() (func([]byte) error, error) {
		key := make([]byte, 32)
		if _, err := rand.Read(key); err != nil {
			return nil, err
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, err
		}
		stream := cipher.NewCTR(block, make([]byte, aes.BlockSize))
		return func(b []byte) error {
			clear(b)
			stream.XORKeyStream(b, b)
			return nil
		}, nil
	}}
}

// CryptoRand returns the standard library's generator.
func CryptoRand() Generator {
	return Generator{"crypto/rand", func() (func([]byte) error, error) {
		return func(b []byte) error { _, err := rand.Read(b); return err }, nil
	}}
}

// every is how often a Loop reads the generators behind the first, in turns.
const every = 8

// A Loop reads the first generator in every turn and the others in every eighth.
type Loop struct {
	Counter    Counter
	Generators []Generator
	Logs       []*Log             // one for each of them
	Size       func(turn int) int // of the read of the first generator; of the others at most 64
	Turn       func(turn int)     // called after each turn; or nil
}

// Run reads until stop is true, and each generator once at least.
func (l Loop) Run(stop *atomic.Bool) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var reads []func([]byte) error
	for _, g := range l.Generators {
		read, err := g.New()
		if err != nil {
			return fmt.Errorf("%s: %w", g.Name, err)
		}
		reads = append(reads, read)
	}
	once := func(i, n int) error {
		b := l.Logs[i].Begin(l.Counter(), n)
		err := reads[i](b)
		l.Logs[i].End(l.Counter())
		return err
	}
	for turn := 0; turn < every || !stop.Load(); turn++ {
		n := l.Size(turn)
		if err := once(0, n); err != nil {
			return fmt.Errorf("%s: %w", l.Generators[0].Name, err)
		}
		for i := 1; i < len(reads) && turn%every == every-1; i++ {
			if err := once(i, min(n, 64)); err != nil {
				return fmt.Errorf("%s: %w", l.Generators[i].Name, err)
			}
		}
		if l.Turn != nil {
			l.Turn(turn)
		}
	}
	return nil
}
