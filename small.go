package rand

// maxSmall is how many bytes a Read takes from kept output at most. A longer one has requests
// of its own.
const maxSmall = 1024

// small makes at most maxSmall bytes from kept output.
func (s *state) small(b []byte, e *epoch) (made bool, err error) {
	// Each new buffer is a request, and after so many requests Entropy is asked. Pauses must
	// not make an own Entropy be asked more often.
	if !s.buffer.has(len(b)) || s.conf.system() && s.buffer.worn() {
		if err := s.refill(len(b), e); err != nil {
			return false, err
		}
	}
	out := s.buffer.take(len(b)) // release erases it
	if s.conf.deterministic || !s.buffer.mixing && s.window.open() {
		copy(b, out)
		return true, nil
	}
	return s.mix(b, out)
}

// refill makes new kept output, or under prediction resistance just what this Read
// needs. A look at the counter may fault, see setBack of cloneWatch.
func (s *state) refill(n int, e *epoch) error {
	if err := s.renew(e, !s.buffer.mixing); err != nil {
		return err
	}
	s.erase()
	if n = wholeBlocks(n); !e.resist {
		n = bufferLen
	}
	r, under := s.beginRequest()
	defer s.abandon(&r)
	s.buffer.fill(&r, n, s.lookBehind)
	s.drbg.end(&r)
	s.lookBehind(keyLen)
	s.generation = under
	return nil
}

// mix mixes out in place and copies it to b, until no pause falls between the draw of the
// salt and the end. It reports false when no try is left.
func (s *state) mix(b, out []byte) (made bool, err error) {
	for failed := 1; ; failed++ {
		if !s.window.open() { // as it is where the buffer is not mixing yet
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
