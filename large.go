package rand

const (
	minStep   = 256        // a large Read that cannot make this much without a pause
	smallSpan = maxRequest // makes so much of it as small ones, and then tries again
)

// large makes a large Read in requests of up to 64 KiB, straight into the caller's
// slice, and looks at the counter after each step of one. A step that a pause fell into
// is made again from a state that is renewed; it is then shorter, for machines on which
// steps take longer than a pause may. Those before it stay, and are in both clones, as
// if they had been read one by one. Where no counter is usable each request starts with
// a state that is renewed.
func (s *state) large(b []byte, e *epoch) error {
	for step := streamStep; len(b) > 0; {
		if step < minStep {
			n := min(len(b), smallSpan)
			if err := s.largeAsSmall(b[:n], e); err != nil {
				return err
			}
			b, step = b[n:], minStep
			continue
		}
		if err := s.renew(e, !s.buffer.mixing && s.window.open()); err != nil {
			return err
		}
		n := min(len(b), maxRequest)
		done := s.request(b[:n], step)
		if b = b[done:]; done < n {
			step /= 4
		} else {
			step = min(4*step, streamStep)
		}
	}
	return nil
}

// request makes one request of a large Read, and returns how much of it is made
// without a pause. Where the caller's memory faults in the middle, the state has given
// away what it would make again: it is not seeded until the request has ended.
func (s *state) request(b []byte, step int) (done int) {
	g := s.generation
	s.generation = nil
	r := s.drbg.begin()
	for done < len(b) {
		part := b[done:min(done+step, len(b))]
		r.fill(part)
		if s.lim != nil && !s.lookBehind(len(part)) {
			clear(part)
			break
		}
		done += len(part)
	}
	s.drbg.end(&r)
	s.generation = g
	return done
}

// largeAsSmall makes part of a large Read on a machine (an emulator) that is slow
// at everything but a mix.
func (s *state) largeAsSmall(b []byte, e *epoch) error {
	left := s.tries // of the whole Read; each part has its own
	for len(b) > 0 {
		part := b[:min(len(b), maxSmall)]
		s.tries = maxTries
		made, err := s.small(part, e)
		if err == nil && !made {
			err = s.overlay(part)
		}
		if err != nil {
			return err
		}
		b = b[len(part):]
	}
	s.tries = left
	return nil
}
