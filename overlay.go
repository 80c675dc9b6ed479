package rand

// overlay is the last resort. It XORs bytes of the operating system into b, whatever that
// holds. Into these go bytes of the CPU's random instruction or, without one, the counter
// or the clock.
func (s *state) overlay(b []byte) error {
	block := (*[blockLen]byte)(s.in[:])
	defer clear(block[:])
	for len(b) > 0 {
		if err := s.host.ask(block[:], s.conf.nv != nil); err != nil {
			return err
		}
		if x, y, ok := s.host.draw(); ok {
			xorWords(block[:], x, y)
		} else if s.lim != nil {
			s.host.absorb(block, s.host.pause.now())
		} else {
			s.host.absorbClock(block)
		}
		n := min(len(b), blockLen)
		for i := range n {
			b[i] ^= block[i]
		}
		b = b[n:]
	}
	return nil
}
