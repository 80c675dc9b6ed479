package rand

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var stepExhaustive = flag.Bool("step.exhaustive", false, "let TestEveryInstruction clone at every instruction, in all its scenes on all its machines")

// The walker's counter advances by one tick in so many instructions: at 2 GHz, 4 KiB
// of output are 6,400 instructions and take 0.6 us.
const stepShare = 5

// A stepMachine is what the two copies find on it.
type stepMachine struct {
	name     string
	noRandom bool   // no random instruction; the system's bytes are the same in both copies
	off      bool   // control: the pause detector is switched off
	same     bool   // control: nothing tells the copies apart, all that they read is equal
	forever  bool   // a pause before each of the walker's readings: it comes to the last resort
	reading  uint64 // ticks from one reading of a copy to the next
	// clone is the counter of copy id, 0 or 1, when the walker's is v.
	clone  func(v, id uint64) uint64
	scenes []string // nil: all
}

// Each copy's first reading is, at the least, one tick more than G after the last one before it.
const (
	stepQuick = 100
	stepSlow  = 400
	stepLeast = uint64(stepG) + 1
)

var (
	stepFew  = []string{"kept", "after a pause", "mixing on", "8 KiB", "Generator, kept"}
	stepTiny = []string{"kept", "after a pause", "Generator, kept"}
	stepTwo  = []string{"kept", "mixing on", "8 KiB", "Generator, kept"}
)

var stepMachines = []stepMachine{
	// Both copies read the same counter; their random instructions differ.
	{name: "random", reading: stepQuick, clone: func(v, id uint64) uint64 { return v + stepLeast - stepQuick }},
	// No random instruction; their counters are one tick apart.
	{name: "no random", noRandom: true, reading: stepSlow, clone: func(v, id uint64) uint64 { return v + stepLeast - stepSlow + id }},
	// One of the two is the original. It goes on, and sees nothing.
	{name: "random, original", reading: stepQuick, scenes: stepFew, clone: func(v, id uint64) uint64 { return v + id*(stepLeast-stepQuick) }},
	{name: "no random, original", noRandom: true, reading: stepSlow, scenes: stepFew, clone: func(v, id uint64) uint64 { return v + id*(stepLeast-stepSlow) }},
	// The counter is set back.
	{name: "random, set back", reading: stepQuick, scenes: stepFew, clone: func(v, id uint64) uint64 { return 1000 }},
	{name: "no random, set back", noRandom: true, reading: stepSlow, scenes: stepFew, clone: func(v, id uint64) uint64 { return 1000 + id }},
	// The pauses do not end before the clone.
	{name: "random, pauses for ever", forever: true, reading: stepQuick, scenes: stepTiny, clone: func(v, id uint64) uint64 { return v + stepLeast - stepQuick }},
	{name: "no random, pauses for ever", noRandom: true, forever: true, reading: stepSlow, scenes: stepTiny, clone: func(v, id uint64) uint64 { return v + stepLeast - stepSlow + id }},
	// Controls.
	{name: "control, detector off", off: true, reading: stepQuick, scenes: stepTwo, clone: func(v, id uint64) uint64 { return v + stepLeast }},
	{name: "control, no pause", noRandom: true, same: true, reading: stepSlow, scenes: stepTwo, clone: func(v, id uint64) uint64 { return v }},
}

func (m *stepMachine) control() bool { return m.off || m.same }

// TestEveryInstruction
func TestEveryInstruction(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector has threads and memory of its own, and thousands of instructions to each of ours")
	}
	skipEmulated(t, "user-mode emulation has no ptrace")
	text, err := loadText()
	if err != nil {
		t.Skip(err)
	}
	// A walker, its copies and its tracer take turns: on one CPU that is 1.6 times faster.
	cpus := stepCPUs(t)
	for i := range stepMachines {
		m := &stepMachines[i]
		t.Run(m.name, func(t *testing.T) {
			if !m.noRandom && !hasCPURandom() {
				t.Skip("this CPU has no random instruction")
			}
			for j := range stepScenes {
				scene := &stepScenes[j]
				if !m.takes(scene) {
					continue
				}
				t.Run(scene.name, func(t *testing.T) {
					t.Parallel()
					cpu := <-cpus
					defer func() { cpus <- cpu }()
					runtime.LockOSThread() // never unlocked: the thread ends with the test, and with it what it traces
					if err := unix.SchedSetaffinity(0, &cpu); err != nil {
						t.Log(err)
					}
					w := &stepWalk{stepTracer: &stepTracer{t: t, text: text}, m: m, scene: scene}
					w.run()
				})
			}
		})
	}
}

func (m *stepMachine) takes(scene *stepScene) bool {
	if m.scenes == nil || *stepExhaustive && !m.forever && !m.control() {
		return true
	}
	for _, name := range m.scenes {
		if name == scene.name {
			return true
		}
	}
	return false
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
	m     *stepMachine
	scene *stepScene

	fifths uint64 // the walker's counter, in fifths of a tick
	timing uint64 // where stepTimed returns to, while the walker is in it
	asked  stepSignal

	points, copies  int
	excepted        int            // points after the Read's last reading
	equal, finished int            // blocks: that must not be; that were finished before the clone
	most            int            // readings of a copy until its Read had returned
	seen            map[uint64]int // blocks, of which copy
	across          int
}

// A stepCopy is what a copy has read.
type stepCopy struct {
	asked, later []byte
	readings     int // until the Read had returned
}

func (w *stepWalk) tick() uint64 { return w.fifths / stepShare }

func (w *stepWalk) run() {
	begun := time.Now()
	w.start(w.scene.name + "/" + w.m.name)
	w.fifths = stepShare << 40
	for m := (stepSignal{}); m.kind != markBegin; {
		m = w.toMark(w.walker, func() uint64 {
			w.fifths += stepShare * stepQuick
			return w.tick()
		})
		w.fifths += stepShare * uint64(m.n)
		w.asked = m
	}
	trace, readings := w.trial()
	if len(readings) == 0 {
		w.t.Fatal("a Read without a reading of the counter")
	}
	points := w.choose(trace, readings)
	w.seen = make(map[uint64]int)
	last := readings[len(readings)-1] // the instruction that it is
	p := w.walker
	var finished []byte // of a large Read, what was there when a reading showed no pause
	var there []byte    // the walker's memory at the last reading
	before, read := w.tick(), 0
	for k := 0; ; k++ {
		if points[k] {
			w.points++
			var c [2]*stepCopy
			for id := range c {
				c[id] = w.finish(w.fork(), w.m.clone(w.tick(), uint64(id)))
			}
			w.judge(c, finished, k, last)
		}
		if p.regs.Rip == w.text.mark {
			break
		}
		if k >= len(trace) || trace[k] != p.regs.Rip {
			w.t.Fatalf("instruction %d is another one than in the trial, %s", k, place(p.regs.Rip))
		}
		if k == last {
			there = w.allMemory(p)
		}
		if w.step(p, &w.fifths, &w.timing) {
			if read++; w.scene.n > stepSmall && w.tick()-before <= uint64(stepG) {
				finished = w.memory(p, w.asked.at, w.asked.len)
				finished = finished[:filled(finished)*blockLen]
			}
			before = w.tick()
		}
	}
	_ = there
	w.t.Logf("STEP %-28s %-34s instr %6d rdtsc %4d points %6d excepted %4d after %5d equal %d finished %d across %d most %d own %d %v", w.m.name, w.scene.name, len(trace), len(readings), w.points, w.excepted,
		len(trace)-last, w.equal, w.finished, w.across, w.most, 0, time.Since(begun).Round(time.Millisecond))
}

// step executes one instruction of p.
func (w *stepWalk) step(p *tracee, fifths, timing *uint64) (reading bool) {
	at := p.regs.Rip
	*fifths++
	switch at {
	case w.text.timed:
		*timing = binary.LittleEndian.Uint64(w.memory(p, p.regs.Rsp, 8))
	case *timing:
		*timing = 0
	}
	if w.text.rdtsc[at] {
		if w.m.forever && *timing == 0 {
			*fifths += stepShare * stepRate / 1000
		}
		p.setCounter(*fifths / stepShare)
		p.regs.Rip += 2
		w.store(p)
		return true
	}
	if w.text.has(at) && w.text.isRDTSC(at) {
		w.t.Fatal("RDTSC at ", place(at))
	}
	w.resume(unix.PTRACE_SINGLESTEP, p)
	return false
}

// trial takes a copy through the Read step by step.
func (w *stepWalk) trial() (trace []uint64, readings []int) {
	c := w.fork()
	fifths, timing := w.fifths, uint64(0)
	for c.regs.Rip != w.text.mark {
		trace = append(trace, c.regs.Rip)
		if w.step(c, &fifths, &timing) {
			readings = append(readings, len(trace)-1)
		}
		if len(trace) > 2_000_000 {
			w.t.Fatal("no end; at ", place(c.regs.Rip))
		}
	}
	w.kill(c)
	return trace, readings
}

// choose says before which instructions to clone; the last is what comes behind the Read.
func (w *stepWalk) choose(trace []uint64, readings []int) []bool {
	points := make([]bool, len(trace)+1)
	if *stepExhaustive {
		for i := range points {
			points[i] = true
		}
		return points
	}
	turns := make(map[uint64][]int)
	var order []uint64
	for k, at := range trace {
		if turns[at] == nil {
			order = append(order, at)
		}
		turns[at] = append(turns[at], k)
	}
	r := mathrand.New(mathrand.NewPCG(1, 1))
	for _, at := range order {
		if ks := turns[at]; ours(at) || r.IntN(5) == 0 {
			points[ks[r.IntN(len(ks))]] = true
		}
	}
	for _, k := range readings[:min(len(readings), 16)] {
		for i := max(k-2, 0); i < k+3; i++ {
			points[i] = true
		}
	}
	points[len(trace)] = true
	return points
}

// finish lets copy c run to its end. v is its counter at the clone.
func (w *stepWalk) finish(c *tracee, v uint64) *stepCopy {
	o, read := new(stepCopy), 0
	reading := func() uint64 {
		v += w.m.reading
		read++
		return v
	}
	for {
		m := w.toMark(c, reading)
		b := w.memory(c, m.at, m.len)
		if m.kind == markEnd {
			o.asked, o.readings = b, read
			continue
		}
		o.later = b
		w.kill(c)
		w.copies++
		w.most = max(w.most, o.readings)
		return o
	}
}

// judge
func (w *stepWalk) judge(c [2]*stepCopy, finished []byte, k, last int) {
	after := k > last
	var fresh [2][]byte
	for i, o := range c {
		if (o.readings == 0) != after {
			w.t.Errorf("cloned before instruction %d: %d readings after it", k, o.readings)
		}
		rest := o.asked
		switch {
		case after:
			rest = nil
		case bytes.HasPrefix(o.asked, finished):
			rest = o.asked[len(finished):]
		}
		fresh[i] = append(bytes.Clone(rest), o.later...)
		w.note(rest)
		w.note(o.later)
	}
	if after {
		w.excepted++
	} else if len(finished) > 0 {
		w.finished += equalBlocks(c[0].asked[:len(finished)], c[1].asked[:len(finished)])
	}
	w.equal += equalBlocks(fresh[0], fresh[1])
}

func (w *stepWalk) note(b []byte) {
	if len(b) >= blockLen {
		x := binary.LittleEndian.Uint64(b)
		if w.seen[x] != 0 {
			w.across++
		}
		w.seen[x] = w.copies
	}
}

// allMemory is what p can write to.
func (w *stepWalk) allMemory(p *tracee) []byte {
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", p.pid))
	if err != nil {
		w.t.Fatal(err)
	}
	var all []byte
	for line := range strings.Lines(string(maps)) {
		var from, to uint64
		var perm string
		if fmt.Sscanf(line, "%x-%x %s", &from, &to, &perm); perm == "rw-p" && to-from < 32<<20 {
			all = append(all, w.memory(p, from, int(to-from))...)
		}
	}
	return all
}

var _ sync.Mutex
