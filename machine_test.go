package rand

import (
	"encoding/binary"
	"math/rand/v2"
	"reflect"
	"sort"
	"testing"
	"time"
)

// A world is a machine that a test drives: a counter of 1 GHz, a random instruction
// and a system generator. What a generator does between two looks at its machine
// is computing from its own state alone, so the looks are all the points at
// which it matters that it is cloned: two worlds that agree up to a look
// and differ from it on are two clones of one machine, stopped between
// that look and the one before.
type world struct {
	counter uint64
	step    uint64        // each reading takes so many ticks
	jitter  func() uint64 // and so many more, where it is not nil
	cpu     *rand.ChaCha8 // the random instruction; nil where there is none
	system  *rand.ChaCha8

	start time.Time     // the clock, when the counter began to be looked at
	shown time.Duration // what the clock has counted since then
	at    uint64        // the counter, when the clock was last asked
	rate  float64       // of the counter, in ticks per second

	looks    int            // readings, draws and system reads so far
	readings int            // of these, of the counter
	stuck    bool           // the instruction says yes and gives all ones, as some CPUs after a resume
	drawn    map[string]int // how often what was drawn: "cpu", and "system" by length
	seeded   int            // system reads of one seeding's length
	before   func(look int) // called before each look, to change the world
	reading  func()         // called after each reading
	last     int            // the look that was the last reading
}

// newWorld is a machine with an instruction; seed names its streams.
func newWorld(seed uint64) *world {
	return &world{
		counter: 1 << 40, // it has run for some twenty minutes
		at:      1 << 40,
		step:    20,
		start:   time.Unix(1_800_000_000, 0),
		rate:    1e9,
		cpu:     streamOf("cpu", seed),
		system:  streamOf("system", seed),
		drawn:   make(map[string]int),
	}
}

func streamOf(name string, seed uint64) *rand.ChaCha8 {
	var key [32]byte
	copy(key[:], name)
	binary.LittleEndian.PutUint64(key[24:], seed)
	return rand.NewChaCha8(key)
}

// jitterOf is what tells clone i of a fleet from the others: 0 or 1 tick a look.
func jitterOf(i int) func() uint64 {
	stream := streamOf("jitter", uint64(i))
	return func() uint64 { return stream.Uint64() & 1 }
}

func (w *world) look() {
	if w.before != nil {
		w.before(w.looks)
	}
	w.looks++
}

func (w *world) read() uint64 {
	w.look()
	w.readings++
	w.last = w.looks - 1
	w.counter += w.step
	if w.jitter != nil {
		w.counter += w.jitter()
	}
	now := w.counter
	if w.reading != nil {
		w.reading()
	}
	return now
}

func (w *world) random() (uint64, bool) {
	w.look()
	w.drawn["cpu"]++
	if w.stuck {
		return ^uint64(0), true
	}
	return w.cpu.Uint64(), true
}

func (w *world) Read(b []byte) (int, error) {
	w.look()
	w.drawn["system"]++
	if len(b) == entropyLen {
		w.seeded++
	}
	return w.system.Read(b)
}

// clock counts with the counter, but never goes back.
func (w *world) clock() time.Time {
	if since := int64(w.counter - w.at); since > 0 {
		w.shown += time.Duration(float64(since) / w.rate * 1e9)
	}
	w.at = w.counter
	return w.start.Add(w.shown)
}

// host is this world as a generator sees it, with a detector of pauses.
func (w *world) host() *host {
	h := &host{clones: noDetectors(), system: w, pause: &pauseDetector{read: w.read, readFenced: w.read, clock: w.clock}}
	h.pause.since.store(moment{w.clock(), w.counter})
	h.pause.limits.Store(limitsAt(w.rate))
	if w.cpu != nil {
		h.random = inPairs(w.random)
	}
	return h
}

// unwatched is the same with a counter that may not be used.
func (w *world) unwatched() *host {
	h := w.host()
	h.pause.limits.Store(counterOff().limits.Load())
	return h
}

// clone is the world as it would go on: the same counter, and the same streams from
// where they are.
func (w *world) clone() *world {
	c := *w
	c.drawn = make(map[string]int)
	c.system = copyStream(w.system)
	if w.cpu != nil {
		c.cpu = copyStream(w.cpu)
	}
	c.before, c.reading = nil, nil
	c.looks, c.readings, c.seeded, c.last = 0, 0, 0, -1
	return &c
}

func copyStream(s *rand.ChaCha8) *rand.ChaCha8 {
	state, err := s.MarshalBinary()
	if err != nil {
		panic(err)
	}
	c := new(rand.ChaCha8)
	if err := c.UnmarshalBinary(state); err != nil {
		panic(err)
	}
	return c
}

// A block is what clones are compared by.
type block = [blockLen]byte

func blocksOf(b []byte) []block {
	var blocks []block
	for ; len(b) >= blockLen; b = b[blockLen:] {
		blocks = append(blocks, block(b))
	}
	return blocks
}

// anyTwice reports whether a block comes twice in these reads.
func anyTwice(reads ...[]byte) bool {
	seen := make(map[block]bool)
	for _, b := range reads {
		for _, x := range blocksOf(b) {
			if seen[x] {
				return true
			}
			seen[x] = true
		}
	}
	return false
}

// equalBlocks counts the blocks of b that are in a, wherever.
func equalBlocks(a, b []byte) (n int) {
	in := make(map[block]bool)
	for _, x := range blocksOf(a) {
		in[x] = true
	}
	for _, x := range blocksOf(b) {
		if in[x] {
			n++
		}
	}
	return n
}

// filled is how many blocks of b hold something, b being filled from its start.
func filled(b []byte) int {
	return sort.Search(len(b)/blockLen, func(i int) bool { return block(b[i*blockLen:]) == block{} })
}

// readN reads n bytes.
func readN(t testing.TB, r interface{ Read([]byte) (int, error) }, n int) []byte {
	t.Helper()
	b := make([]byte, n)
	if got, err := r.Read(b); got != n || err != nil {
		t.Fatalf("a Read of %d bytes returned %d, %v", n, got, err)
	}
	return b
}

func (p *pool) shard(i int) *state { return p.shards.Load().states[i].Load() }

func (p *pool) conf() *config { return p.shards.Load().conf }

// cloneReader is p as a snapshot of its memory holds it, restored in world w: all
// secrets, and all that the detectors knew.
func cloneReader(p *pool, w *world) *pool {
	h := w.host()
	h.cloneDetectors(p.conf().host)
	return clonePool(p, h)
}

// cloneGenerator is the same for a Generator, on host h.
func cloneGenerator(g *Generator, h *host) *Generator {
	h.cloneDetectors(g.conf().host)
	c := new(Generator)
	n := clonePool(&g.pool, h)
	c.pool.set(n.conf(), n.epoch.Load(), 1)
	c.pool.shards.Store(n.shards.Load())
	return c
}

func clonePool(p *pool, h *host) *pool {
	conf := new(config)
	old := p.conf()
	conf.host, conf.entropy, conf.nv, conf.perso = h, old.entropy, old.nv, old.perso
	if stream, ok := old.entropy.(*rand.ChaCha8); ok {
		conf.entropy = copyStream(stream)
	}
	conf.deterministic, conf.interval, conf.forks = old.deterministic, old.interval, old.forks
	conf.number = old.number
	conf.accepted.Store(old.accepted.Load())
	c := new(pool)
	states := p.shards.Load().states
	e := p.epoch.Load()
	copied := *e
	if e.chain != nil { // which is wiped when it is replaced
		chain := *e.chain
		copied.chain = &chain
	}
	c.set(conf, &copied, len(states))
	c.shards.Load().forks = p.shards.Load().forks
	for i := range states {
		if s := states[i].Load(); s != nil {
			n := s.clone(conf)
			if n.epoch == e {
				n.epoch = &copied
			}
			c.shards.Load().states[i].Store(n)
		}
	}
	return c
}

func (h *host) cloneDetectors(from *host) {
	if g := from.clones.last.Load(); g != nil {
		last := *g
		h.clones.last.Store(&last)
	}
	h.pause.since.store(from.pause.since.load())
	h.pause.coarse.Store(from.pause.coarse.Load())
	h.pause.doubt.Store(from.pause.doubt.Load())
	if old, l := from.pause.limits.Load(), h.pause.limits.Load(); old != nil && old != l {
		l.why, l.rate, l.g, l.zero, l.stale = old.why, old.rate, old.g, old.zero, old.stale
		l.allowance.Store(old.allowance.Load())
		l.widened.Store(old.widened.Load())
	}
}

// clone copies all of a state, whatever fields it has.
func (s *state) clone(c *config) *state {
	n := newState(c, s.forks)
	s.cloneTo(n, c)
	return n
}

func (s *state) cloneTo(n *state, c *config) {
	secrets := n.secrets
	reflect.ValueOf(n).Elem().Set(reflect.ValueOf(s).Elem())
	n.secrets, n.buffer.kept = secrets, &secrets.kept
	*n.secrets = *s.secrets
	n.lock.unlock()
	n.conf, n.host = c, c.host
	n.seededAs(s)
	if n.lim != nil {
		n.lim = c.host.pause.limits.Load()
	}
	if n.buffer.cipher != nil {
		n.buffer.cipher = newAES(n.buffer.key[:])
	}
}

// seededAs makes n, which has a host of its own, a state of the same generation number as s.
func (n *state) seededAs(s *state) {
	here := n.host.clones.current()
	for _, x := range []struct{ from, to **generation }{{&s.generation, &n.generation}, {&s.seeded, &n.seeded}} {
		if *x.to = *x.from; *x.from != nil && (*x.from).number == here.number {
			*x.to = here
		}
	}
}

// rested is a reader that has kept output, and its world, after a pause.
func rested(t *testing.T, w *world, pause uint64) *pool {
	t.Helper()
	r := newPool(w.host(), 1)
	readN(t, r, 16)
	readN(t, r, 16)
	w.counter += pause
	return r
}

// exhaust reads until no output is kept.
func exhaust(t *testing.T, r *pool) {
	t.Helper()
	readN(t, r, 16)
	s := r.shard(0)
	for reads := 0; s.buffer.pos < bufferLen; reads++ {
		if reads > bufferLen/maxSmall {
			t.Fatal("each Read starts anew")
		}
		readN(t, r, min(maxSmall, bufferLen-s.buffer.pos))
	}
}

const (
	us = 1_000 // ticks of a world's counter
	ms = 1_000 * us

	gTicks = uint64(pauseTime / time.Nanosecond) // G of a world of 1 GHz
)

// A machine is what clones differ in.
type machine struct {
	name       string
	step       uint64
	noCPU      bool // no random instruction
	stuck      bool // it gives all ones after the clone
	sameSystem bool // the kernel's generator is a clone, too, and goes on as the other one
	pauses     [2]uint64
	forEver    bool // after the clone there is a pause before each reading
	still      bool // after the clone the counter stands still
	own        bool // an Entropy of its own, whose stream is cloned, too
}

// ago is a jump of the counter back by t.
func ago(t uint64) uint64 { return -t }

var machines = []machine{
	{name: "instruction", pauses: [2]uint64{gTicks + 3*us, gTicks + 5*us}},
	{name: "instruction, pauses just over G", pauses: [2]uint64{gTicks + 1, gTicks + 1}},
	{name: "instruction, kernel cloned", sameSystem: true, pauses: [2]uint64{ms, ms}},
	{name: "no instruction", noCPU: true, pauses: [2]uint64{ms, ms}},
	{name: "no instruction, kernel cloned", noCPU: true, sameSystem: true, pauses: [2]uint64{ms, ms + 1}},
	{name: "no instruction, kernel cloned, short pauses", noCPU: true, sameSystem: true, pauses: [2]uint64{gTicks + us, gTicks + us + 1}},
	{name: "instruction stuck, kernel cloned", stuck: true, sameSystem: true, pauses: [2]uint64{ms, ms + 1}},
	{name: "counter goes back", pauses: [2]uint64{ago(1000 * ms), ago(1000 * ms)}},
	{name: "counter goes back, no instruction, kernel cloned", noCPU: true, sameSystem: true, pauses: [2]uint64{ago(1000 * ms), ago(1001 * ms)}},
	{name: "counter starts at zero", noCPU: true, sameSystem: true, pauses: [2]uint64{ago(1<<40 - 3000), ago(1<<40 - 5000)}},
	{name: "counter jumps by an hour", noCPU: true, sameSystem: true, pauses: [2]uint64{3600 * 1000 * ms, 3601 * 1000 * ms}},
	{name: "counter stands still", still: true, pauses: [2]uint64{ms, 2 * ms}},
	{name: "counter stands still, no instruction", noCPU: true, still: true, pauses: [2]uint64{ms, 2 * ms}},
	{name: "pauses for ever", forEver: true, pauses: [2]uint64{ms, 2 * ms}},
	{name: "pauses for ever, no instruction", noCPU: true, forEver: true, pauses: [2]uint64{ms, 2 * ms}},
	{name: "emulator, 10 us a reading", step: 10 * us, pauses: [2]uint64{ms, 2 * ms}},
	{name: "emulator, 10 us a reading, no instruction, kernel cloned", step: 2 * us, noCPU: true, sameSystem: true, pauses: [2]uint64{ms, ms + 1}},
	{name: "emulator, 100 us a reading", step: 100 * us, pauses: [2]uint64{ms, 2 * ms}},
	{name: "emulator, 100 us a reading, no instruction, kernel cloned", step: 20 * us, noCPU: true, sameSystem: true, pauses: [2]uint64{ms, ms + 1}},
}

func (m *machine) world() *world {
	w := newWorld(0)
	if m.step != 0 {
		w.step = m.step
	}
	if m.noCPU {
		w.cpu = nil
		w.step *= 5 // a slower one: fewer turns in a burst
	}
	return w
}

// restore makes w the clone of this number.
func (m *machine) restore(r *pool, w *world, i int) {
	w.counter += m.pauses[i]
	w.stuck = m.stuck
	if w.cpu != nil {
		w.cpu = streamOf("cpu", uint64(i)+1)
	}
	if !m.sameSystem {
		w.system = streamOf("system", uint64(i)+1)
	}
	if m.still {
		w.step = 0
	}
	if m.forEver {
		w.pauseForEver(r, m.pauses[i])
	}
}

// pauseForEver makes a pause before each reading. What a mix takes without one is known,
// or the pauses would be thought to be the slowness of the machine.
func (w *world) pauseForEver(r *pool, pause uint64) {
	r.conf().host.pause.limits.Load().widened.Store(true)
	w.jitter = func() uint64 { return pause }
}
