package rand

const (
	minStep   = 256        // the least that is tried as one step
	smallSpan = maxRequest // where that fails, so much is made as small Reads are, and then steps are tried again
)

// large makes a large Read in requests of up to 64 KiB, straight into the caller's
// slice, and looks at the counter after each step of one. A step that a pause fell into
// is made again from a renewed state. The new step is shorter, for machines on which a
// step takes longer than G. The steps before it stay. They are in both clones, as if they
// had been read one by one. Where no counter is usable each request starts from a renewed
// state.
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
// without a pause. After a fault in the caller's memory the DRBG would make again what b
// holds by then. So the state counts as unseeded until the request has ended.
func (s *state) request(b []byte, step int) (done int) {
	g := s.generation
	s.generation = nil
	ended := false
	var r request
	defer func() {
		if !ended {
			s.abandon(&r)
		}
	}()
	r = s.drbg.begin()
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
	s.generation, ended = g, true
	return done
}

// abandon wipes what a request that does not come to its end leaves behind.
func (s *state) abandon(r *request) {
	r.wipe()
	s.drbg.wipe()
	s.seeded = nil
	s.window.shut() // the fresh bytes that were in it are gone
}

// largeAsSmall makes part of a large Read on a machine (an emulator) where a mix fits into
// its allowance, but no step fits into G.
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
