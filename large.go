package rand

const (
	minStep   = 256        // a large Read that can not make this much without a pause
	smallSpan = maxRequest // makes so much of it as small ones, and then tries again
)

// largeUnwatched makes a large Read where no counter shows pauses. A generator fed by
// the system starts every 64 KiB with a reseed; one with a source of its own
// does when it is due.
func (s *instance) largeUnwatched(b []byte, o *order) (made bool, err error) {
	for len(b) > 0 {
		if s.conf.entropy == nil || s.drbg.reseedCounter > s.conf.interval {
			if err := s.seed(o); err != nil {
				return false, err
			}
		}
		part := b[:min(len(b), maxRequest)]
		r := s.drbg.begin()
		r.fill(part)
		s.drbg.end(&r)
		b = b[len(part):]
	}
	return true, nil
}

// large makes a large Read in generates of up to 64 KiB, straight into the caller's
// slice, and reads the counter after each step of one. A step that a pause fell
// into is made again from a new seed; it is then shorter, for machines on
// which steps take longer than a pause may. Those before it stay, and are in both
// clones, as if they had been read one by one.
func (s *instance) large(b []byte, o *order) (made bool, err error) {
	if s.salted || !s.stillAlone() {
		if err := s.seed(o); err != nil {
			return false, err
		}
	}
	step := streamStep
	for len(b) > 0 {
		if step < minStep {
			n := min(len(b), smallSpan)
			if err := s.largeAsSmall(b[:n], o); err != nil {
				return false, err
			}
			b, step = b[n:], minStep
			continue
		}
		if s.salted || s.drbg.reseedCounter > s.conf.interval {
			if err := s.seed(o); err != nil {
				return false, err
			}
		}
		n := min(len(b), maxRequest)
		r := s.drbg.begin()
		done := 0
		for done < n {
			part := b[done:min(done+step, n)]
			r.fill(part)
			if !s.stillAlone() {
				clear(part)
				break
			}
			done += len(part)
		}
		s.drbg.end(&r)
		b = b[done:]
		if done == n {
			step = min(4*step, streamStep)
			continue
		}
		step /= 4
		if err := s.seed(o); err != nil {
			return false, err
		}
	}
	return true, nil
}

// largeAsSmall makes part of a large Read on a machine (an emulator) that is slow
// at everything but a fold.
func (s *instance) largeAsSmall(b []byte, o *order) error {
	left := s.tries // of the whole Read; each part has its own
	for len(b) > 0 {
		part := b[:min(len(b), maxSmall)]
		s.tries = maxTries
		made, err := s.small(part, o)
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
