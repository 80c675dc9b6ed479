package rand

// mix mixes out in place and copies it to b, until no pause falls between the draw of the
// salt and the end. It reports false when no try is left.
func (s *state) mix(b, out []byte) (made bool, err error) {
	for failed := 1; ; failed++ {
		if !s.buffer.mixing || !s.window.open() {
			s.buffer.startMixing()
			if err := s.fresh(&s.buffer.salt); err != nil {
				return false, err
			}
		}
		if s.mixWatched(b, out) {
			return true, nil
		}
		if s.tries--; s.tries <= 0 {
			return false, nil
		}
		if failed%2 == 0 {
			s.host.widen(s.lim, s.conf.nv != nil)
		}
	}
}

func (s *state) mixWatched(b, out []byte) bool {
	for len(out) > 0 {
		step := out[:min(len(out), mixStep)]
		s.buffer.mix(step)
		b, out = b[copy(b, step):], out[len(step):]
		if s.lim != nil && !s.host.look(&s.window, s.lim.allowance.Load()) {
			return false
		}
	}
	s.window.settle()
	return true
}

// fresh is host.fresh for this state. A generator whose only source is an NV seed does not
// wait for the kernel's generator: it may run before that is seeded.
func (s *state) fresh(salt *[blockLen]byte) error {
	if s.lim != nil { // a set-back in the middle of a Read may have left them stale
		if s.lim = s.host.pause.usable(); s.lim == nil {
			s.window.close()
		}
	}
	return s.host.fresh(salt, &s.window, s.lim, s.conf.nv != nil, s.in[:])
}
