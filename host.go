package rand

import (
	cryptorand "crypto/rand"
	"fmt"
	"io"
)

// cryptoReader is crypto/rand's Reader as it was before anybody could put ours in
// its place: the system source must not come back to us.
var cryptoReader = cryptorand.Reader

// A host is what a generator sees of the machine that it runs on. There is one for
// all generators of the process; tests make others.
type host struct {
	clones *cloneWatch
	pause  *pauseDetector
	random func() (x, y uint64, ok bool) // the CPU's random instruction, twice; nil where there is none

	// The operating system's generator, asked in three ways: system is the fast one, for
	// Reads; strict returns an error where system ends the program; ready does not wait
	// until the generator is seeded. Tests replace system, and leave the others nil.
	system io.Reader
	strict func(b []byte) error
	ready  func(b []byte) (ok bool)
}

// thisHost is the machine that this process runs on. It opens nothing before its first use.
var (
	thisHost  = thisParts.host()
	thisParts hostParts
)

// hostParts is a host and what it points to, in one piece: each page that the first Read of
// a process touches costs time.
type hostParts struct {
	seen   host
	clones cloneWatch
	pause  pauseDetector
}

func (p *hostParts) host() *host {
	p.clones.watchAll()
	p.pause.since.store(packageInit)
	p.pause.forks = p.seen.forks
	p.seen = host{clones: &p.clones, pause: &p.pause, system: systemReader, strict: systemStrict, ready: systemReady}
	if hasCPURandom() {
		p.seen.random = cpuRandom
	}
	return &p.seen
}

// forks counts the forks that were noticed.
func (h *host) forks() uint64 { return h.clones.forks() }

// look takes a reading of the counter for w, and reports whether w is open and less than
// limit ticks have passed since the reading before.
func (h *host) look(w *window, limit uint64) bool {
	now := h.pause.now()
	if now < w.last {
		// Unfenced readings on two CPUs can cross. If a fenced one still lies before the last
		// one, the counter was set back, and all generators have to hear of it.
		if now = h.pause.nowFenced(); now < w.last {
			w.close() // before the detectors are asked: a signal may fault
			if h.clones.setBack(now) >= maxSetBacks {
				h.pause.distrust()
			}
			h.recheck(true)
		}
	}
	return w.pass(now, limit)
}

// recheck looks at what changes only in a long pause. It is called after one, and once
// more a little later.
func (h *host) recheck(long bool) {
	h.clones.recheck()
	h.pause.verify(long)
}

// ask fills b from the operating system. With ready it does not wait for a generator that
// is not seeded yet, but clears b instead.
func (h *host) ask(b []byte, ready bool) error {
	if !ready || h.ready == nil {
		return readEntropy(h.system, b)
	}
	if !h.ready(b) {
		clear(b)
	}
	return nil
}

// readEntropy is io.ReadFull, but gives up on a source that returns nothing again and
// again, and refuses one that claims more than was asked for.
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
