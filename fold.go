package rand

import (
	"crypto/subtle"
	"encoding/binary"
)

// After a pause the kept output x may be a clone's, too. What is returned then is
// AES_F(x XOR R) XOR R for each block, with a salt R that holds 16 bytes drawn
// after the pause. To who does not know F, the blocks of two clones are
// independent as soon as their salts differ in anything. To who holds the
// snapshot, F and x are public, and this is the Even-Mansour cipher with the key
// R: with the second XOR, blocks that become public give away neither R nor the
// next block (up to data x time = 2^128); without it one block would give R.

const (
	foldStep = 4 * blockLen // folded between two readings of the counter

	// Without a random instruction the counter is absorbed for 1/64 of the pause, 16 us
	// at most: 8 times pauseTime.
	burstShare = 64
	burstTimes = 8
	maxBurst   = 1 << 12 // turns, for a counter that stands still
)

// fold hands out the kept blocks at out, folded, and reports whether it saw no
// pause from before the salt was drawn to the end. In maxTries without that it
// reports false, and b holds blocks that a clone may have.
func (s *instance) fold(b, out []byte) bool {
	for failed := 1; ; failed++ {
		from, ok := s.freshSalt()
		ok = s.foldBlocks(b, out, from) && ok
		if ok {
			return true
		}
		s.g = 0
		if s.tries--; s.tries <= 0 {
			return false
		}
		if s.lim != nil && failed%2 == 0 {
			s.widen()
		}
	}
}

// freshSalt makes sure that the salt is this instance's alone, and returns the
// reading of the counter from which that holds.
func (s *instance) freshSalt() (from uint64, ok bool) {
	if s.salted && s.stillAlone() {
		return s.alone, true
	}
	if s.folder == nil {
		s.folder = newAES(s.kept[keptLen:])
	}
	s.salted, s.end = true, 0
	return s.drawSalt()
}

// foldBlocks folds out in place and copies it to b. Blocks that are folded again
// with another salt have been folded twice, which is as good.
func (s *instance) foldBlocks(b, out []byte, from uint64) (ok bool) {
	ok = true
	for len(out) > 0 {
		step := out[:min(len(out), foldStep)]
		for i := 0; i < len(step); i += blockLen {
			x := step[i : i+blockLen]
			xorBlock(x, s.salt[:])
			s.folder.Encrypt(x, x)
			xorBlock(x, s.salt[:])
		}
		b = b[copy(b, step):]
		out = out[len(step):]
		if s.lim != nil {
			now := s.host.pause.now()
			ok = ok && !s.lim.pausedStep(from, now)
			from = now
		}
	}
	if ok && s.lim != nil {
		s.aloneSince(from)
	}
	return ok
}

// drawSalt brings 16 fresh bytes into the salt, and reports whether it saw no pause
// on the way. from is the last reading: what follows is to be measured from it.
func (s *instance) drawSalt() (from uint64, ok bool) {
	if s.lim != nil {
		if from = s.began; from == 0 {
			from = s.host.pause.now()
		}
		s.began = 0
	}
	x, y, cpu := s.host.draw()
	if cpu {
		xorWords(s.salt[:], x, y^from)
	}
	if !cpu || s.lim == nil {
		if readEntropy(s.host.system, s.in[:blockLen]) != nil {
			s.under = nil
			return from, false
		}
		xorBlock(s.salt[:], s.in[:])
		clear(s.in[:blockLen])
	}
	if cpu {
		return from, true
	}
	if s.lim == nil {
		s.absorbClock()
		return from, true
	}
	return s.absorbCounter(from)
}

// absorbCounter separates clones whose kernels gave them the same bytes: R becomes
// AES(R XOR reading) again and again, for as long as the pause makes it worth
// while. Each turn is checked, since a clone in the middle has what was absorbed
// before it. The key is the public one of the derivation function: what is
// needed of the cipher is a permutation that mixes.
func (s *instance) absorbCounter(from uint64) (last uint64, ok bool) {
	budget := burstTimes * s.lim.g
	if s.alone != 0 { // a state that never was alone may come out of any pause
		budget = min(budget, (from-s.alone)/burstShare)
	}
	mix := derivationCipher()
	begun := s.host.pause.now()
	ok = !s.lim.pausedStep(from, begun)
	last = begun
	for range maxBurst {
		xorWords(s.salt[:], last, 0)
		mix.Encrypt(s.salt[:], s.salt[:])
		now := s.host.pause.now()
		ok = ok && !s.lim.pausedStep(last, now)
		last = now
		if !ok || last-begun >= budget {
			return last, ok
		}
	}
	return last, false
}

// absorbClock is the same with the clock, once, where there is no counter to use: it
// reads times of its own in clones whose kernels give them the same bytes.
func (s *instance) absorbClock() {
	xorWords(s.salt[:], uint64(s.host.pause.time().Sub(packageInit.clock)), 0)
	derivationCipher().Encrypt(s.salt[:], s.salt[:])
}

// widen measures what a salt and a block take on this machine.
func (s *instance) widen() {
	block, mix := new([blockLen]byte), derivationCipher()
	s.host.pause.widen(s.lim, func() {
		if _, _, ok := s.host.draw(); !ok {
			readEntropy(s.host.system, block[:])
		}
		mix.Encrypt(block[:], block[:])
	})
	clear(block[:])
}

func xorBlock(dst, src []byte) {
	subtle.XORBytes(dst[:blockLen], dst[:blockLen], src[:blockLen])
}

func xorWords(dst []byte, x, y uint64) {
	binary.LittleEndian.PutUint64(dst, binary.LittleEndian.Uint64(dst)^x)
	binary.LittleEndian.PutUint64(dst[8:], binary.LittleEndian.Uint64(dst[8:])^y)
}
