package rand

// All that TestEveryInstruction knows of the inside of the package is in this file.

const (
	stepRate  = 2_000_000_000                               // ticks per second of the tracer's counter
	stepG     = stepRate / 1_000_000_000 * int64(pauseTime) // ticks: the most that is no pause
	stepSmall = maxSmall                                    // a longer Read is a large one
)

// stepTimed times the machine's mixes. A pause at each of its readings would make it
// take the machine for one that is slow at a mix.
var stepTimed = (*pauseDetector).widen

// newStepHost is a machine on which nothing tells of a clone but the counter.
func newStepHost(m *stepMachine, measured bool) *host {
	wipesCiphers() // looks at types, once in a process
	h := newHost()
	h.clones = noDetectors()
	stream := streamInMemory() // goes on alike in both copies
	h.system = stream
	h.strict = func(b []byte) error { return readEntropy(stream, b) }
	h.ready = func(b []byte) bool { return readEntropy(stream, b) == nil }
	if m.noRandom {
		h.random = nil
	}
	h.pause = &pauseDetector{clock: stepTime}
	if measured {
		l := limitsAt(stepRate)
		if m.off {
			l.g = 1 << 61
		}
		h.pause.limits.Store(l)
		h.pause.usual.Store(true)
	}
	return h
}

// startMeasure is when the counter's rate begins to be measured.
func (s *stepSource) startMeasure() { s.host.pause.since = s.host.pause.readMoment() }

// A stepSource is what is read from: the default Reader's kind, or a Generator.
type stepSource struct {
	host    *host
	read    readFunc
	reseed  func([]byte) error
	deplete func()
	resist  func()
	pool    func() *pool
}

func newStepReader(h *host) *stepSource {
	p := newPool(h, 1)
	return &stepSource{
		host: h, read: p.Read, reseed: p.reseed, deplete: p.deplete,
		resist: func() { p.resist(true) },
		pool:   func() *pool { return p },
	}
}

// newStepGenerator makes its Generator at the first Read, for New itself is cloned, too.
func newStepGenerator(h *host, cfg *Config) *stepSource {
	var g *Generator
	return &stepSource{
		host: h,
		read: func(b []byte) (n int, err error) {
			if g == nil {
				if g, err = newGenerator(cfg, h); err != nil {
					return 0, err
				}
			}
			return g.Read(b)
		},
		reseed:  func(perso []byte) error { return g.Reseed(perso) },
		deplete: func() { g.Deplete() },
		resist:  func() { g.SetPredictionResistance(true) },
		pool:    func() *pool { return &g.pool },
	}
}

// left is how many bytes of output are kept.
func (s *stepSource) left() int {
	return bufferLen - s.pool().shards.Load().states[0].Load().buffer.pos
}
