//go:build amd64 || arm64

package rand

import (
	"crypto/aes"
	"crypto/cipher"
	crand "crypto/rand"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/clonerand/rand/internal/vmring"
)

// vmReadForEver reads from the first generator in a tight loop, and now and then from the others.
func vmReadForEver(cpu int, gens []vmGenerator, home *state, logs []*vmring.Log, region *vmring.Region, large bool) error {
	var set unix.CPUSet
	set.Set(cpu)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return err
	}
	var reads []func([]byte) error
	for _, g := range gens {
		read, err := g.new()
		if err != nil {
			return fmt.Errorf("%s: %w", g.name, err)
		}
		reads = append(reads, read)
	}
	once := func(g, n int) error {
		b := logs[g].Begin(cycles(), n)
		err := reads[g](b)
		var own uint64
		if g == 0 && home != nil {
			own = home.window.last
		}
		logs[g].End(cycles(), own)
		return err
	}
	for i := 0; ; i++ {
		n := 16
		switch {
		case large && i%4096 == 2048:
			n = 1 << 20
		case i%32 == 31:
			n = 4 << 10
		case i%3 == 2:
			n = 64
		}
		if err := once(0, n); err != nil {
			return err
		}
		if i%8 == 7 {
			for g := 1; g < len(gens); g++ {
				if err := once(g, min(n, 64)); err != nil {
					return err
				}
			}
		}
		// Neither runs so far ahead of the other that its ring is full before both have read enough.
		for i%256 == 0 && logs[0].Count() > vmSlowest(region)+vmAhead {
			runtime.Gosched()
		}
		// Seldom: Generation looks for events too, and Read has to find them by itself.
		if cpu == 0 && i%1024 == 1023 {
			region.SetGeneration(Generation())
		}
	}
}

func vmSlowest(region *vmring.Region) uint64 {
	least := ^uint64(0)
	for cpu := range vmCPUs {
		least = min(least, region.Logs[cpu*len(region.Logs)/vmCPUs].Count())
	}
	return least
}

type vmGenerator struct {
	name string
	new  func() (func([]byte) error, error) // called once by each goroutine
}

// vmCTR is the control that repeats in every clone.
func vmCTR() (func([]byte) error, error) {
	key := make([]byte, 32)
	if _, err := crand.Read(key); err != nil {
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
}

func vmKernel() (func([]byte) error, error) {
	return func(b []byte) error { _, err := crand.Read(b); return err }, nil
}

func vmGenerators() []vmGenerator {
	all := []vmGenerator{
		{"clonerand", func() (func([]byte) error, error) {
			return func(b []byte) error { _, err := Read(b); return err }, nil
		}},
		{"unguarded", func() (func([]byte) error, error) {
			r := newReaderOn(vmWithoutPauses(noDetectors()))
			return func(b []byte) error { _, err := r.Read(b); return err }, nil
		}},
		{"crypto/rand", vmKernel},
		{"AES-CTR", vmCTR},
	}
	if os.Getenv("CLONERAND_VMTEST_SIGNALS") != "" {
		all = append(all, vmGenerator{"signals alone", func() (func([]byte) error, error) {
			r := newReaderOn(vmWithoutPauses(newCloneWatch()))
			return func(b []byte) error { _, err := r.Read(b); return err }, nil
		}})
	}
	return all
}

// vmWithoutPauses is this machine with the pause detector off in every respect: on a counter that stands
// still and may. One that moves would still show that it was set back, as in a machine that has hibernated.
func vmWithoutPauses(clones *cloneWatch) *host {
	h := newHost()
	h.clones, h.pause = clones, neverPaused()
	still := func() uint64 { return 1 }
	h.pause.read, h.pause.readFenced = still, still
	return h
}
