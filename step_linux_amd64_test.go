package rand

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"math"
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
// at, a fifth is. What is executed again is cloned at one time in 50 where it is of this package,
// or else in 500, and what lies close to a reading of the counter 16 times. This clones at all
// instructions, every time that they are executed, and prints the table of docs/pause.md:
//
//	go test -run TestEveryInstruction -v -timeout 0 -step.exhaustive
//
// A single step costs 20 us on a virtual machine, and a copy 300 us, most of it for memory. So
// copies are not traced, and the walker goes through the Read only once.
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
//	a mix that is tried again counts from the Read's first reading       mixing on: 136 readings of a copy, not 2
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
				seen := make(map[uint64]bool)
				for k, scene := range row.scenes {
					if !m.plays(scene) {
						continue
					}
					t.Run(scene.name, func(t *testing.T) {
						// The thread is never unlocked, so that it ends with the test, and what it traces with it.
						// Tracer, walker and copies take turns: on one CPU that is 1.6 times as fast.
						runtime.LockOSThread()
						unix.SchedSetaffinity(0, &cpu)
						w := &stepWalk{
							stepTracer: stepTracer{t: t, text: text}, Rand: mathrand.New(mathrand.NewPCG(1, uint64(k))),
							m: m, scene: &scene, seen: seen, turns: make(map[uint64]int), without: math.MaxInt,
						}
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
	stepTracer
	*mathrand.Rand
	m     *stepMachine
	scene *stepScene
	seen  map[uint64]bool // addresses of this package that a scene of the row was cloned at
	turns map[uint64]int  // how often an instruction was executed in this one

	readings, last   int    // of the counter by the walker, and which instruction was the last one
	reading, without int    // the last instruction where a copy still read it; the first where one did not
	there            []byte // where the Read's bytes were then: its caller's slice for a large one, or else anywhere
	points, excepted int    // the instructions cloned at; those of them where the copies read the counter no more
	clones, equal    int    // copies made; blocks that are equal and must not be
	broken           int    // pairs with such blocks
	most             uint64 // readings of a copy in its Read
}

// A stepSum is what some walks have found, a row of the table of docs/pause.md.
type stepSum struct {
	instructions, clones, equal, excepted atomic.Int64
}

func (w *stepWalk) large() bool { return w.scene.n > stepSmall }

// run takes the walker through the Read step by step, and clones it on the way.
func (w *stepWalk) run(role string, sum *stepSum) {
	begun := time.Now()
	w.start(role)
	shares := w.room.clock.now * stepShare
	before := w.room.clock.now // the reading before
	var finished []byte        // of a large Read, what was there when a reading showed no pause
	timing := uint64(0)        // where stepTimed returns to, while the walker is in it
	k := 0
	for ; ; k++ {
		at := w.regs.Rip
		if w.chosen(at) || w.readings > 0 && k == w.last+1 {
			w.clone(k, shares/stepShare, finished)
		}
		if at == w.text.end {
			break
		}
		switch {
		case at == w.text.timed:
			timing = binary.LittleEndian.Uint64(w.memory(w.regs.Rsp, 8))
		case at == timing:
			timing = 0
		case w.text.rdtsc[at]: // is answered, and not executed
			shares += stepShare * stepReading
			if w.m.forever && timing == 0 {
				shares += stepShare * stepRate / 1000
			}
			now := shares / stepShare
			w.room.clock = stepClock{now: now}
			w.regs.Rax, w.regs.Rdx = now&0xffffffff, now>>32
			w.jump(at + 2)
			if now-before <= uint64(stepG) && w.large() {
				finished = w.asked()
				finished = finished[:filled(finished)*blockLen]
			}
			w.readings, w.last, before = w.readings+1, k, now
			continue
		case w.text.isRDTSC(at):
			w.t.Fatal("RDTSC at ", stepPlace(at))
		case k == 2_000_000:
			w.t.Fatal("no end; at ", stepPlace(at))
		}
		w.resume(true)
		shares++
	}
	sum.instructions.Add(int64(k))
	sum.clones.Add(int64(w.clones))
	sum.equal.Add(int64(w.equal))
	sum.excepted.Add(int64(w.excepted))
	w.t.Logf("%d instructions, %d of them after the last of %d readings; cloned at %d (%d after it): "+
		"%d clones, of at most %d readings; %d equal blocks; %.1f s", k, k-w.last, w.readings,
		w.points, w.excepted, w.clones, w.most, w.equal, time.Since(begun).Seconds())
	w.report(k - w.last)
}

// asked is where the walker's Read puts its bytes.
func (w *stepWalk) asked() []byte {
	return w.memory(uint64(uintptr(unsafe.Pointer(&stepAsked))), w.scene.n)
}

// chosen reports whether to clone before the instruction at an address, as TestEveryInstruction says.
func (w *stepWalk) chosen(at uint64) bool {
	turn := w.turns[at]
	w.turns[at]++
	switch {
	case *stepExhaustive, at == w.text.end, turn < 16 && w.text.near[at]:
		return true
	case turn > 0 && w.seen[at]:
		return w.IntN(50) == 0
	case turn > 0:
		return w.IntN(500) == 0
	case w.seen[at] || stepOurs(at) == "":
		return w.IntN(5) == 0
	}
	w.seen[at] = true
	return true
}

// clone makes pairs of copies of the walker before instruction k, and compares what they read.
func (w *stepWalk) clone(k int, tick uint64, finished []byte) {
	w.points++
	w.pair(&w.m.pairs[0], k, tick, finished)
	if w.without <= k {
		w.excepted++
	}
	if w.without == k {
		if w.there = w.asked(); !w.large() {
			w.there = w.allMemory()
		}
	}
	if others := w.m.pairs[1:]; len(others) > 0 && w.points%8 == 0 {
		w.pair(&others[w.points/8%len(others)], k, tick, finished)
	}
}

func (w *stepWalk) pair(pair *stepPair, k int, tick uint64, finished []byte) {
	var all, own [2][]byte // what a copy has read, and what must be its alone
	for id := range all {
		clock := stepClock{now: pair.clone(tick, uint64(id))}
		if clock.now < tick { // the clock is not set back
			clock.ahead = tick + stepLeast - pair.clone(tick, 0)
		}
		w.copy(clock)
		r := w.room
		all[id] = slices.Concat(r.asked[:w.scene.n], r.later[:])
		own[id] = all[id]
		switch {
		case r.readings == 0: // the exception
			w.without = min(w.without, k)
			own[id] = all[id][w.scene.n:]
		case bytes.HasPrefix(all[id], finished):
			own[id] = all[id][len(finished):]
		}
		if r.readings > 0 {
			w.reading = k
		}
		if pair == &w.m.pairs[0] {
			w.most = max(w.most, r.readings)
		}
	}
	if pair.same {
		if !bytes.Equal(all[0], all[1]) {
			w.t.Errorf("%s: copies made before instruction %d differ: something tells them apart that should not", pair.name, k)
		}
		return
	}
	w.clones += 2
	if n := equalBlocks(own[0], own[1]); n > 0 {
		w.equal += n
		if w.broken++; !w.m.off && w.broken <= 3 {
			w.t.Errorf("%s: %d blocks are equal when cloned before instruction %d, %s",
				pair.name, n, k, stepPlace(w.regs.Rip))
		}
	}
}

// report is the verdict. So many instructions come after the Read's last reading.
func (w *stepWalk) report(after int) {
	if w.readings == 0 || w.reading > w.last || w.without != w.last+1 {
		w.t.Errorf("the last of %d readings is instruction %d; copies made before %d read the counter, and from %d on they did not",
			w.readings, w.last, w.reading, w.without)
	}
	if w.m.off {
		if w.broken != w.points {
			w.t.Errorf("with the detector off blocks are equal at %d points of %d: a test that cannot fail", w.broken, w.points)
		}
		return
	}
	if w.broken > 0 {
		w.t.Errorf("%d blocks are equal, in %d pairs of %d", w.equal, w.broken, w.clones/2)
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
		if !bytes.Contains(w.there, b) {
			w.t.Fatal("the Read returns what was not made yet at its last reading of the counter")
		}
	}
	if extra := int(w.most) - w.readings; extra > stepExtra && !w.large() && !w.m.noRandom {
		w.t.Errorf("a copy read the counter %d times and not %d: it tries again more often than it needs", w.most, w.readings)
	}
}
