package rand

import (
	cryptorand "crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"reflect"
	"sync/atomic"
)

// cryptoReader is crypto/rand's Reader as it was before anybody could put ours in
// its place: the system source must not come back to us.
var cryptoReader = cryptorand.Reader

const cpuRandomTries = 20 // of two words; Intel DRNG guide, 5.2.1: 10 of one

// A host is what a generator sees of the machine that it runs on. There is one for
// all generators of the process; tests make others.
type host struct {
	clones *cloneWatch
	pause  *pauseDetector
	system io.Reader                     // the operating system
	random func() (x, y uint64, ok bool) // the CPU's random instruction, twice; nil where there is none
}

func newHost() *host {
	h := &host{clones: newCloneWatch(), pause: newPauseDetector(), system: systemReader}
	if hasCPURandom() {
		h.random = cpuRandom
	}
	return h
}

// thisHost is made at first use.
func thisHost() *host {
	if h := sharedHost.Load(); h != nil {
		return h
	}
	sharedHost.CompareAndSwap(nil, newHost())
	return sharedHost.Load()
}

var sharedHost atomic.Pointer[host]

// isSystem says whether a Config.Entropy names the system source: by being nil, or
// crypto/rand's Reader, or the default Reader of this package.
func isSystem(r io.Reader) bool {
	if r == nil || r == io.Reader(defaultReader) {
		return true
	}
	// Interfaces can be compared where the type of what is in them can be.
	return reflect.TypeOf(r).Comparable() && r == cryptoReader
}

// readEntropy is io.ReadFull that does not wait for ever for a source that
// returns nothing, and does not believe one that claims more than was asked for.
func readEntropy(r io.Reader, b []byte) error {
	empty := 0
	for got := 0; got < len(b); {
		n, err := r.Read(b[got:])
		if n < 0 || n > len(b)-got {
			return fmt.Errorf("%w: a Read of %d bytes returned %d", ErrEntropy, len(b)-got, n)
		}
		if got += n; got == len(b) {
			return nil
		}
		if err == io.EOF && got > 0 {
			err = io.ErrUnexpectedEOF
		}
		if n > 0 {
			empty = 0
		} else if empty++; empty == 100 && err == nil {
			err = io.ErrNoProgress
		}
		if err != nil {
			return fmt.Errorf("%w: %w", ErrEntropy, err)
		}
	}
	return nil
}

// draw asks the CPU for two random words. Where it has no random instruction, or
// one that is stuck, as some are after a resume (all ones, or the same again
// and again), ok is false.
func (h *host) draw() (x, y uint64, ok bool) {
	if h.random == nil {
		return 0, 0, false
	}
	for range cpuRandomTries {
		if x, y, ok := h.random(); ok {
			return x, y, x != y && notStuck(x) && notStuck(y)
		}
	}
	return 0, 0, false
}

func notStuck(x uint64) bool { return x != 0 && x != ^uint64(0) }

// eventInput appends what tells this instance from the others after an event: the
// PID, the counter, the clocks and what the signal pages say. None of it is secret.
func (h *host) eventInput(b []byte) []byte {
	now := h.pause.time()
	b = binary.LittleEndian.AppendUint64(b, uint64(h.clones.identity()))
	b = binary.LittleEndian.AppendUint64(b, uint64(now.UnixNano()))
	b = binary.LittleEndian.AppendUint64(b, uint64(now.Sub(packageInit.clock)))
	if h.pause.usable() != nil {
		b = binary.LittleEndian.AppendUint64(b, h.pause.nowFenced())
	}
	for _, sig := range h.clones.look().signals {
		for i := range sig.memory {
			b = binary.LittleEndian.AppendUint64(b, atomic.LoadUint64(&sig.memory[i]))
		}
	}
	return b
}

// cpuInputLen is what the CPU's random instruction adds to a seeding after an event.
const cpuInputLen = 32

// cpuInput appends cpuInputLen bytes of the CPU's random instruction, or fewer where
// there is none or it is stuck.
func (h *host) cpuInput(b []byte) []byte {
	for range cpuInputLen / 16 {
		if x, y, ok := h.draw(); ok {
			b = binary.LittleEndian.AppendUint64(b, x)
			b = binary.LittleEndian.AppendUint64(b, y)
		}
	}
	return b
}
