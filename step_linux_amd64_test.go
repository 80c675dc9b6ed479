package rand

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	mathrand "math/rand/v2"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

var stepExhaustive = flag.Bool("step.exhaustive", false, "let TestEveryInstruction clone at every instruction")

const (
	// The counter advances by one tick in so many instructions of the walker (4 KiB of output
	// are 6,400 instructions, and take 0.4 us), and by so many ticks at each reading.
	stepShare   = 8
	stepReading = 150

	// A copy's first reading shows, at the least, one tick more than G.
	stepLeast = uint64(stepG) + 1 - stepReading

	// So many instructions, at the most, follow a Read's last reading: they erase and return.
	// In a large one and in the last resort they also encrypt a few blocks.
	stepAfterSmall = 400
	stepAfterLarge = 1600

	// A copy of a small Read takes so many readings more than the Read, at the most, where
	// there is a random instruction: it draws once.
	stepExtra = 2
)

// A stepPair is two copies. clone is what their counters say, id being 0 and 1, when the
// walker's says v.
type stepPair struct {
	name  string
	clone func(v, id uint64) uint64
	same  bool // control: nothing tells the copies apart
}

// A stepMachine is what a Read is cloned on.
type stepMachine struct {
	name     string
	noRandom bool       // no random instruction; the system's bytes are the same in both copies
	forever  bool       // a pause before each of the walker's readings: it comes to the last resort
	off      bool       // control: the pause detector is switched off
	pairs    []stepPair // the first at each point; at each eighth one of the others, too
	scenes   []string   // nil: all
	row      int        // of docs/pause.md, from its end; 0: that of the scene
}

// plays reports whether the scene is played on this machine in this run.
func (m *stepMachine) plays(s stepScene) bool {
	if m.noRandom && hasCPURandom() && !*stepExhaustive && slices.Contains(stepOnce, s.name) {
		return false
	}
	return m.scenes == nil || slices.Contains(m.scenes, s.name)
}

var stepFew = []string{"kept", "after a pause", "Generator, kept"}

var stepMachines = []stepMachine{
	{name: "random", pairs: []stepPair{
		{name: "equal counters", clone: func(v, id uint64) uint64 { return v + stepLeast }},
		{name: "a copy and the original", clone: func(v, id uint64) uint64 { return v + id*stepLeast }},
		{name: "counter set back", clone: func(v, id uint64) uint64 { return 1000 }},
	}},
	{name: "no random", noRandom: true, pairs: []stepPair{
		{name: "one tick apart", clone: func(v, id uint64) uint64 { return v + stepLeast + id }},
		{name: "a copy and the original", clone: func(v, id uint64) uint64 { return v + id*stepLeast }},
		{name: "counter set back", clone: func(v, id uint64) uint64 { return 1000 + 2*id }},
		{name: "control: no pause", same: true, clone: func(v, id uint64) uint64 { return v }},
	}},
	{name: "random, pauses without end", forever: true, scenes: stepFew, row: 2, pairs: []stepPair{
		{name: "equal counters", clone: func(v, id uint64) uint64 { return v + stepLeast }},
	}},
	{name: "no random, pauses without end", noRandom: true, forever: true, scenes: stepFew, row: 2, pairs: []stepPair{
		{name: "one tick apart", clone: func(v, id uint64) uint64 { return v + stepLeast + id }},
	}},
	{name: "control: detector off", off: true, scenes: append(stepFew, "8 KiB"), row: 1, pairs: []stepPair{
		{name: "equal counters", clone: func(v, id uint64) uint64 { return v + stepLeast }},
	}},
}

// stepOnce is the scenes that the default run plays on the first machine alone.
var stepOnce = []string{
	"kept, 100 bytes", "first use, with the measuring", "8 KiB, mixing on", "70 KiB", "Generator, after Deplete",
	"Generator, prediction resistance", "Generator, New, 8 KiB", "own Entropy, 8 KiB", "own Entropy, prediction resistance",
}

// TestEveryInstruction clones a process of one thread at the machine instructions of a
// Read, or of the Reseed, Deplete or New before it. A tracer goes through the Read
// instruction by instruction. Before one of them it makes the process, the walker, execute
// fork(2), twice. Both copies run to the end of the Read and through five more. No block
// of 16 bytes may be equal in the two.
//
// Only the cycle counter tells the copies that they are copies. It is the test's: code that
// reads a variable stands in the place of RDTSC. There is no fork page and no process ID,
// the system's bytes are the same in both, and so is the counter; without a random instruction
// the counters are one tick apart. The clone took one tick more than G.
//
// The exception is a Read whose last reading of the counter lay before the clone: what it
// returns, all copies return. A copy is excepted if, and only if, it was made after that
// reading, and then it reads the counter no more in this Read. What the Read returns
// was in memory at that reading, and the instructions after it are no more than it takes to
// return. Of a large Read the steps that were finished before the clone are in both copies, too.
//
// By default each instruction of this package that a row of stepScenes executes is cloned at
// once on each machine. Of the others, and of those that an earlier scene of the row was cloned
// at, a fifth is. Of several turns of an instruction one is chosen. This clones at all of them,
// every time that they are executed, and prints the table of docs/pause.md:
//
//	go test -run TestEveryInstruction -v -timeout 0 -step.exhaustive
//
// A single step costs 20 us on a virtual machine, and a copy 300 us, most of it for memory. So
// copies are not traced, and the walker runs from one place to the next where it can.
//
// Each of these faults was put in once, and the test was red in the scenes named, among others:
//
//	the fast path notes a second reading, from behind its check          kept
//	a look at the counter does                                           after a pause, 8 KiB
//	a mix ends with a reading of its own                                 after a pause, mixing on
//	a salt counts from a reading behind its draw                         after a pause
//	the fresh bytes of a seeding do                                      first use
//	a burst does not check its turns                                     no random: after a pause
//	the step of a large Read is checked before it is made                8 KiB
//	a mix is not checked at its end                                      after a pause, by what the exception may cover
//
// These were in the package, or nearly, and this is how they were found:
//
//	a mix that is tried again counts from the Read's first reading       mixing on: 136 readings of a copy, not 3
//	the last resort does not absorb the counter                          pauses without end, no random
//	the window stays open when a mixing buffer is erased                 prediction resistance
func TestEveryInstruction(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector needs thousands of instructions for each of ours")
	}
	if testing.Short() {
		t.Skip("this takes a minute on two CPUs")
	}
	skipEmulated(t, "user-mode emulation has no ptrace")
	text, err := loadText()
	if err != nil {
		t.Skip(err)
	}
	cpus := stepCPUs(t)
	sums := make([]stepSum, len(stepScenes))
	t.Cleanup(func() {
		for i := range sums {
			s := &sums[i]
			t.Logf("| %s | %d | %d | %d | %d |",
				stepScenes[i].row, s.instructions.Load(), s.clones.Load(), s.equal.Load(), s.excepted.Load())
		}
	})
	for i := range stepMachines {
		m := &stepMachines[i]
		if !m.noRandom && !hasCPURandom() {
			t.Run(m.name, func(t *testing.T) { t.Skip("this CPU has no random instruction") })
			continue
		}
		for j, row := range stepScenes {
			if !slices.ContainsFunc(row.scenes, m.plays) {
				continue
			}
			sum := &sums[j]
			if m.row != 0 {
				sum = &sums[len(sums)-m.row]
			}
			t.Run(m.name+"/"+row.row, func(t *testing.T) {
				t.Parallel()
				cpu := <-cpus
				defer func() { cpus <- cpu }()
				sample := &stepSample{mathrand.New(mathrand.NewPCG(1, 1)), make(map[uint64]bool)}
				for k, scene := range row.scenes {
					if !m.plays(scene) {
						continue
					}
					t.Run(scene.name, func(t *testing.T) {
						// The thread is never unlocked, so that it ends with the test, and what it traces with it.
						// Tracer, walker and copies take turns: on one CPU that is 1.6 times as fast.
						runtime.LockOSThread()
						unix.SchedSetaffinity(0, &cpu)
						w := &stepWalk{stepTracer: &stepTracer{t: t, text: text}, stepSample: sample, m: m, scene: &scene}
						w.run(fmt.Sprint(i, " ", j, " ", k), sum)
					})
				}
			})
		}
	}
}

// stepCPUs is the CPUs that this process may use.
func stepCPUs(t *testing.T) chan unix.CPUSet {
	var all unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		t.Fatal(err)
	}
	cpus := make(chan unix.CPUSet, all.Count())
	for i := 0; len(cpus) < cap(cpus); i++ {
		if all.IsSet(i) {
			var one unix.CPUSet
			one.Set(i)
			cpus <- one
		}
	}
	return cpus
}

// A stepWalk is one scene on one machine.
type stepWalk struct {
	*stepTracer
	*stepSample
	m     *stepMachine
	scene *stepScene

	// The Read as a first copy went through it: the address of each instruction, the counter
	// before it, and which of them read the counter.
	at, tick []uint64
	readings []int

	points, excepted int    // the instructions cloned at; those of them after the last reading
	clones, equal    int    // copies made; blocks that are equal and must not be
	broken           int    // pairs with such blocks
	most             uint64 // readings of a copy in its Read
}

// A stepSum is what some walks have found, a row of the table of docs/pause.md.
type stepSum struct {
	instructions, clones, equal, excepted atomic.Int64
}

// A stepSample is what the default run chooses by. The scenes of a row share it.
type stepSample struct {
	*mathrand.Rand
	seen map[uint64]bool // addresses of this package that a scene was cloned at
}

// A stepCopy is what a copy has read.
type stepCopy struct {
	asked, later []byte
	readings     uint64 // until the Read had returned
}

func (w *stepWalk) large() bool { return w.scene.n > stepSmall }

func (w *stepWalk) run(role string, sum *stepSum) {
	begun := time.Now()
	w.start(role)
	w.copy(w.room.clock, w.trial)
	if len(w.readings) == 0 {
		w.t.Fatal("the Read does not read the counter")
	}
	last := w.readings[len(w.readings)-1]
	chosen := w.choose()
	var finished []byte // of a large Read, what was there when a reading showed no pause
	var there []byte    // see report
	before := w.tick[0] // the reading before
	for k, next := 0, 0; ; k = next {
		if chosen[k] {
			w.clone(k, k > last, finished)
		}
		if k == last {
			if there = w.asked(); !w.large() {
				there = w.allMemory(w.walker)
			}
		}
		if k == len(w.at)-1 {
			break
		}
		next = k + 1
		for !chosen[next] && next != last && !w.reads(next) {
			next++
		}
		w.goOn(k, next)
		if w.reads(k) {
			if now := w.tick[k+1]; now-before <= uint64(stepG) && w.large() {
				finished = w.asked()
				finished = finished[:filled(finished)*blockLen]
			}
			before = w.tick[k+1]
		}
	}
	sum.instructions.Add(int64(len(w.at) - 1))
	sum.clones.Add(int64(w.clones))
	sum.equal.Add(int64(w.equal))
	sum.excepted.Add(int64(w.excepted))
	w.report(there, time.Since(begun))
}

// asked is where the walker's Read puts its bytes.
func (w *stepWalk) asked() []byte {
	return w.memory(w.walker, uint64(uintptr(unsafe.Pointer(&stepAsked))), w.scene.n)
}

// reads reports whether instruction k reads the counter.
func (w *stepWalk) reads(k int) bool { return w.text.rdtsc[w.at[k]] }

// trial takes copy c through the Read step by step.
func (w *stepWalk) trial(c *tracee) {
	shares := w.room.clock.now * stepShare
	timing := uint64(0) // where stepTimed returns to, while the copy is in it
	for {
		at := c.regs.Rip
		w.at, w.tick = append(w.at, at), append(w.tick, shares/stepShare)
		switch {
		case at == w.text.end:
			return
		case at == w.text.timed:
			timing = binary.LittleEndian.Uint64(w.memory(c, c.regs.Rsp, 8))
		case at == timing:
			timing = 0
		case w.text.rdtsc[at]:
			w.readings = append(w.readings, len(w.at)-1)
			shares += stepShare * stepReading
			if w.m.forever && timing == 0 {
				shares += stepShare * stepRate / 1000
			}
			w.answer(c, shares/stepShare)
			continue
		case w.text.isRDTSC(at):
			w.t.Fatal("RDTSC at ", stepPlace(at))
		case len(w.at) == 2_000_000:
			w.t.Fatal("no end; at ", stepPlace(at))
		}
		w.resume(c, true)
		shares++
	}
}

// answer executes an RDTSC of p's.
func (w *stepWalk) answer(p *tracee, v uint64) {
	p.regs.Rax, p.regs.Rdx = v&0xffffffff, v>>32
	w.jump(p, p.regs.Rip+2)
	w.room.clock = stepClock{now: v}
}

// goOn takes the walker from instruction k to a later one, between which there is
// no reading of the counter. It does not step where a breakpoint at the end is quicker.
func (w *stepWalk) goOn(k, end int) {
	p, to := w.walker, w.at[end]
	if w.reads(k) {
		w.answer(p, w.tick[k+1])
		k++
	}
	turns := 0 // how often the walker comes by before
	for _, at := range w.at[k:end] {
		if at == to {
			turns++
		}
	}
	for quick := end-k > 4*(turns+1); quick; {
		if p.regs.Rip != to {
			w.runTo(p, to)
		} else if turns == 0 {
			return
		} else {
			turns--
			w.resume(p, true)
		}
	}
	for ; k < end; k++ {
		w.resume(p, true)
	}
	if p.regs.Rip != to {
		w.t.Fatalf("instruction %d is another one than in the trial: %s, not %s", end, stepPlace(p.regs.Rip), stepPlace(to))
	}
}

// choose says at which instructions to clone; the last is the one behind the Read.
func (w *stepWalk) choose() []bool {
	chosen := make([]bool, len(w.at))
	if *stepExhaustive {
		for k := range chosen {
			chosen[k] = true
		}
		return chosen
	}
	turns := make(map[uint64][]int)
	for k, at := range w.at {
		turns[at] = append(turns[at], k)
	}
	for k, at := range w.at {
		ks := turns[at]
		if ks[0] != k { // it was decided at the first
			continue
		}
		if first := stepOurs(at) != "" && !w.seen[at]; first || w.IntN(5) == 0 {
			chosen[ks[w.IntN(len(ks))]] = true
			w.seen[at] = true
		}
	}
	for _, k := range w.readings[:min(len(w.readings), 16)] {
		for i := max(k-2, 0); i < k+3; i++ {
			chosen[i] = true
		}
	}
	chosen[len(w.at)-1] = true
	return chosen
}

// clone makes pairs of copies of the walker before instruction k, and compares what they read.
func (w *stepWalk) clone(k int, after bool, finished []byte) {
	w.points++
	if after {
		w.excepted++
	}
	w.pair(&w.m.pairs[0], k, after, finished)
	if others := w.m.pairs[1:]; len(others) > 0 && w.points%8 == 0 {
		w.pair(&others[w.points/8%len(others)], k, after, finished)
	}
}

func (w *stepWalk) pair(pair *stepPair, k int, after bool, finished []byte) {
	var c [2]stepCopy
	var own [2][]byte // what must be this copy's alone
	for id := range c {
		clock := stepClock{now: pair.clone(w.tick[k], uint64(id))}
		if clock.now < w.tick[k] { // the clock is not set back
			clock.ahead = w.tick[k] + stepLeast - pair.clone(w.tick[k], 0)
		}
		w.copy(clock, nil)
		c[id] = stepCopy{bytes.Clone(w.room.asked[:w.scene.n]), bytes.Clone(w.room.later[:]), w.room.readings}
		if (c[id].readings == 0) != after {
			w.t.Errorf("cloned before instruction %d: %d readings after it", k, c[id].readings)
		}
		rest := c[id].asked
		switch {
		case after: // the exception
			rest = nil
		case bytes.HasPrefix(rest, finished):
			rest = rest[len(finished):]
		}
		own[id] = slices.Concat(rest, c[id].later)
		if pair == &w.m.pairs[0] {
			w.most = max(w.most, c[id].readings)
		}
	}
	if pair.same {
		if !bytes.Equal(c[0].asked, c[1].asked) || !bytes.Equal(c[0].later, c[1].later) {
			w.t.Errorf("%s: copies made before instruction %d differ: something tells them apart that should not", pair.name, k)
		}
		return
	}
	w.clones += 2
	if n := equalBlocks(own[0], own[1]); n > 0 {
		w.equal += n
		if w.broken++; !w.m.off && w.broken <= 3 {
			w.t.Errorf("%s: %d blocks are equal when cloned before instruction %d of %d, %s; readings after it: %d and %d",
				pair.name, n, k, len(w.at)-1, stepPlace(w.at[k]), c[0].readings, c[1].readings)
		}
	}
}

// report is the verdict. there is where the bytes were at the Read's last reading: for
// a large one the caller's slice, or else anywhere in memory.
func (w *stepWalk) report(there []byte, took time.Duration) {
	after := len(w.at) - 1 - w.readings[len(w.readings)-1]
	w.t.Logf("%d instructions, %d of them after the last of %d readings; cloned at %d (%d after it): "+
		"%d clones, of at most %d readings; %d equal blocks; %.1f s", len(w.at)-1, after, len(w.readings),
		w.points, w.excepted, w.clones, w.most, w.equal, took.Seconds())
	if w.m.off {
		if w.broken != w.points {
			w.t.Errorf("with the detector off blocks are equal at %d points of %d: a test that cannot fail", w.broken, w.points)
		}
		return
	}
	if w.broken > 0 {
		w.t.Errorf("%d blocks are equal, at %d points of %d", w.equal, w.broken, w.points)
	}
	most := stepAfterSmall
	if w.large() || w.m.forever {
		most = stepAfterLarge
	}
	if after > most {
		w.t.Errorf("%d instructions come after the Read's last reading of the counter; %d are enough to return", after, most)
	}
	if w.m.forever {
		return // the last resort draws bytes of its own after the last reading
	}
	for b := range slices.Chunk(w.asked(), blockLen) {
		if !bytes.Contains(there, b) {
			w.t.Fatal("the Read returns what was not made yet at its last reading of the counter")
		}
	}
	if extra := int(w.most) - len(w.readings); extra > stepExtra && !w.large() && !w.m.noRandom {
		w.t.Errorf("a copy read the counter %d times and not %d: it tries again more often than it needs", w.most, len(w.readings))
	}
}
