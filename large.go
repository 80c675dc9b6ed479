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
// without a pause.
func (s *state) request(b []byte, step int) (done int) {
	r, under := s.beginRequest()
	defer s.abandon(&r)
	for done < len(b) {
		part := b[done:min(done+step, len(b))]
		r.fill(part)
		if !s.lookBehind(len(part)) {
			clear(part)
			break
		}
		done += len(part)
	}
	s.drbg.end(&r)
	s.generation = under
	return done
}

// beginRequest begins a request. After a fault in its middle, in the caller's memory or in
// a look, the DRBG would make again what it has made by then. So the state counts as
// unseeded until the caller, at the end, puts back the generation that it gets here. The
// caller defers abandon.
func (s *state) beginRequest() (r request, under *generation) {
	under, s.generation = s.generation, nil
	return s.drbg.begin(), under
}

// abandon wipes what a request leaves behind, unless it came to its end.
func (s *state) abandon(r *request) {
	if s.generation == nil {
		s.abandoned(r)
	}
}

// abandoned is apart so that abandon, which each Read of new output runs, is inlined.
func (s *state) abandoned(r *request) {
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
