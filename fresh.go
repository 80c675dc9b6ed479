package rand

import (
	"encoding/binary"
	"sync/atomic"
)

const (
	cpuRandomTries = 20 // of two words; Intel DRNG guide, 5.2.1: 10 of one
	cpuInputLen    = 32 // what the CPU's random instruction adds to a seeding

	// Without a random instruction the counter is absorbed for 1/64 of the pause, for 8 x
	// pauseTime = 16 us at most.
	burstShare = 64
	burstTimes = 8
	maxBurst   = 1 << 12 // turns, for a counter that stands still
)

// fresh draws 16 bytes after the last reading of w, so that no clone from before that
// reading has them, and XORs them into salt. They come from the CPU's random instruction,
// or else from the operating system, with the counter or the clock absorbed into them.
// fresh opens w at that reading, and closes it again if it sees a pause on the way. Where
// the counter is not used, lim is nil and w stays closed. in is memory for bytes on their
// way. ready is that of ask.
func (h *host) fresh(salt *[blockLen]byte, w *window, lim *pauseLimits, ready bool, in []byte) error {
	x, y, cpu := h.draw()
	if cpu {
		xorWords(salt[:], x, y^w.last)
		if lim != nil {
			w.restart(lim)
			return nil
		}
	}
	return h.freshBeside(cpu, salt, w, lim, ready, in)
}

// freshBeside is the rest of fresh where the random instruction is not enough. cpu reports
// whether it gave its part.
func (h *host) freshBeside(cpu bool, salt *[blockLen]byte, w *window, lim *pauseLimits, ready bool, in []byte) error {
	in = in[:blockLen]
	defer clear(in)
	if err := h.ask(in, ready); err != nil {
		return err
	}
	xorBlock(salt[:], in)
	if lim != nil {
		w.restart(lim) // not before the bytes are in: a source may panic
	}
	switch {
	case cpu:
	case lim == nil:
		h.absorbClock(salt)
	default:
		h.burst(salt, w, lim)
	}
	return nil
}

// burst absorbs the counter into salt again and again: R = AES(R XOR reading). The longer
// the pause was, the longer the burst. It tells clones apart whose kernels gave them the
// same bytes. Each turn is checked, since a clone in the middle has what was absorbed
// before it. The key is the public one of the derivation function: all that is needed of
// the cipher is a permutation that mixes.
func (h *host) burst(salt *[blockLen]byte, w *window, lim *pauseLimits) {
	budget := min(uint64(float64(lim.rate)*burstTimes*pauseTime.Seconds()), w.gap/burstShare)
	h.look(w, lim.allowance.Load()) // ends what the system's bytes took
	begun := w.last
	for range maxBurst {
		h.absorb(salt, w.last)
		if !h.look(w, lim.allowance.Load()) || w.last-begun >= budget {
			return
		}
	}
	w.close()
}

// absorbClock is one turn of the burst with the clock, where no counter is usable. Clones
// whose kernels gave them the same bytes see other times.
func (h *host) absorbClock(salt *[blockLen]byte) {
	h.absorb(salt, uint64(h.pause.time().Sub(packageInit.clock)))
}

func (h *host) absorb(salt *[blockLen]byte, reading uint64) {
	xorWords(salt[:], reading, 0)
	derivationCipher().Encrypt(salt[:], salt[:])
}

// widen measures what a salt and a block take on this machine.
func (h *host) widen(lim *pauseLimits, ready bool) {
	var salt [blockLen]byte
	in := make([]byte, blockLen)
	h.pause.widen(lim, func() {
		if _, _, ok := h.draw(); !ok {
			_ = h.ask(in, ready) // for its time only
		}
		h.absorb(&salt, 0)
	})
	clear(in)
}

// draw asks the CPU for two random words. Where it has no random instruction, or
// one that is stuck, as some are after a resume (all zeros, all ones, or the
// same again and again), ok is false.
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

// eventInput appends what tells this instance from others after an event: the process
// ID, the clocks, the counter and what the signal pages say. None of it is secret.
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
