package rand

import "testing"

// A scene is a generator at some point of its life, and the length of the Read in
// which it is cloned.
type scene struct {
	name    string
	prelude func(t *testing.T, r *reader, w *world)
	ask     []int
}

const (
	us = 1_000 // ticks of a world's counter
	ms = 1_000 * us
)

var scenes = []scene{
	{"first use", func(*testing.T, *reader, *world) {}, []int{16, 1024, 1025, 68<<10 + 16}},
	{"kept output", func(t *testing.T, r *reader, w *world) { readN(t, r, 16) }, []int{16, 40, 1024, 1025, 5000, 64<<10 + 16}},
	{"folding", func(t *testing.T, r *reader, w *world) {
		readN(t, r, 16)
		w.counter += ms
		readN(t, r, 16)
	}, []int{16, 1024, 1025, 64<<10 + 16}},
	{"refill", func(t *testing.T, r *reader, w *world) {
		for range 3 { // the first block of all is folded, and so the first buffer
			exhaust(t, r)
		}
	}, []int{16, 1024, 5000}},
	{"refill while folding", func(t *testing.T, r *reader, w *world) {
		readN(t, r, 16)
		w.counter += ms
		exhaust(t, r)
	}, []int{16, 1024, 5000}},
	{"reseed due", func(t *testing.T, r *reader, w *world) {
		r.conf().interval = 1
		exhaust(t, r)
		exhaust(t, r)
	}, []int{16, 5000}},
	{"after Reseed", func(t *testing.T, r *reader, w *world) {
		readN(t, r, 16)
		if err := r.reseed([]byte("here")); err != nil {
			t.Fatal(err)
		}
	}, []int{16, 5000}},
	{"after Deplete", func(t *testing.T, r *reader, w *world) {
		readN(t, r, 16)
		r.deplete()
	}, []int{16, 5000}},
	{"prediction resistance", func(t *testing.T, r *reader, w *world) {
		readN(t, r, 16)
		setResist(&r.order, true)
	}, []int{16, 5000}},
}

// exhaust reads until no output is kept.
func exhaust(t *testing.T, r *reader) {
	t.Helper()
	readN(t, r, 16)
	s := r.shard(0)
	for reads := 0; s.pos < keptLen; reads++ {
		if reads > keptLen/maxSmall {
			t.Fatal("each Read starts anew")
		}
		readN(t, r, min(maxSmall, keptLen-s.pos))
	}
}

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
}

// ago is a jump of the counter back by t.
func ago(t uint64) uint64 { return -t }

var machines = []machine{
	{name: "instruction", pauses: [2]uint64{5 * us, 7 * us}},
	{name: "instruction, pauses just over G", pauses: [2]uint64{2*us + 1, 2*us + 1}},
	{name: "instruction, kernel cloned", sameSystem: true, pauses: [2]uint64{ms, ms}},
	{name: "no instruction", noCPU: true, pauses: [2]uint64{ms, ms}},
	{name: "no instruction, kernel cloned", noCPU: true, sameSystem: true, pauses: [2]uint64{ms, ms + 1}},
	{name: "no instruction, kernel cloned, short pauses", noCPU: true, sameSystem: true, pauses: [2]uint64{3 * us, 3*us + 1}},
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
func (m *machine) restore(w *world, i int) {
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
		w.jitter = func() uint64 {
			// What a fold takes is measured without one, or every pause would be thought to
			// be the slowness of the machine.
			if calledBy("widen", 5) {
				return 0
			}
			return m.pauses[i]
		}
	}
}
