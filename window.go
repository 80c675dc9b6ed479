package rand

// A window is the time since which a state is known to be this instance's alone. It stays
// open while each reading of the cycle counter comes less than limit ticks after the one
// before: nobody clones in so little time. A pause closes it. Fresh bytes that come into
// the state open it again, at a reading from before they were drawn, never at one from
// after.
type window struct {
	last  uint64 // the last reading, whether the window is open or not
	limit uint64 // pauseLimits.g while it is open; 0 while it is closed
	zero  uint64 // pauseLimits.zero
	gap   uint64 // the longest pause since the last fresh bytes, in ticks; ^0: not known
	long  uint64 // the longest that recheck has not followed yet
}

// holds reports whether the window is open and no pause lies between the last reading and
// now. A reading that went back differs by nearly 2^64, and so does not hold.
func (w *window) holds(now uint64) bool { return now-w.last-w.zero < w.limit }

func (w *window) open() bool { return w.limit != 0 }

// pass notes a reading, and reports whether the window is open and less than limit
// ticks have passed since the reading before.
func (w *window) pass(now, limit uint64) bool {
	since := now - w.last
	if since-w.zero >= limit {
		w.gap = max(w.gap, since)
		if w.last != 0 { // or this is the first reading
			w.long = max(w.long, since)
		}
		w.close()
	}
	w.last = now
	return w.open()
}

// restart opens the window at the last reading. What is drawn from here on is fresh.
func (w *window) restart(l *pauseLimits) { w.limit, w.zero = l.g, l.zero }

func (w *window) close() { w.limit = 0 }

// shut closes a window after an event, which may have been a pause of any length.
func (w *window) shut() { w.limit, w.gap = 0, ^uint64(0) }

// settle says that fresh bytes are in: pauses before them do not matter any more.
func (w *window) settle() { w.gap = 0 }
