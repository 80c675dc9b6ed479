package rand

import (
	"fmt"
	"os"
	ossignal "os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What TestEveryInstruction clones: the scenes, and the process that plays them. All that the
// test knows of the inside of the package is in this file.

const (
	stepRate  = 2_000_000_000                               // ticks per second of the test's counter
	stepG     = stepRate / 1_000_000_000 * int64(pauseTime) // ticks: the most that is no pause
	stepSmall = maxSmall                                    // a longer Read is a large one
)

// stepTimed times the machine's mixes. A pause at each of its readings would make it
// take the machine for one that is slow at a mix.
var stepTimed = (*pauseDetector).widen

// What is read from.
const (
	stepDefault    = iota // the default Reader
	stepUnmeasured        // the default Reader on a machine whose counter was not measured yet
	stepFed               // a Generator fed by the system
	stepOwn               // a Generator with an Entropy of its own
)

// A stepScene is a state of what is read from, and the call that is cloned in it.
type stepScene struct {
	name   string
	n      int    // bytes of the Read
	source int    // stepDefault, ...
	before string // the calls that bring it into its state
	call   string // what is cloned begins with this
}

// stepScenes has a row for each of docs/pause.md.
var stepScenes = []struct {
	row    string
	scenes []stepScene
}{
	{"small, kept output", []stepScene{
		{"kept", 16, stepDefault, "read read", ""},
		{"kept, 100 bytes", 100, stepDefault, "read read", ""},
		{"Generator, kept", 16, stepFed, "empty read", ""},
	}},
	{"small, after a pause", []stepScene{
		{"after a pause", 16, stepDefault, "read read pause", ""},
		{"after a pause, 100 bytes", 100, stepDefault, "read read pause", ""},
		{"Generator, after a pause", 16, stepFed, "empty read read read pause", ""},
	}},
	{"small, mixing on", []stepScene{
		{"mixing on", 16, stepDefault, "read read pause read", ""},
	}},
	{"small, new buffer", []stepScene{
		{"refill", 16, stepDefault, "empty empty", ""},
		{"mixed refill", 16, stepDefault, "empty most pause read read", ""},
		{"worn", 16, stepDefault, "read read pause wear", ""},
		{"Generator, refill", 16, stepFed, "empty empty", ""},
	}},
	{"first use, New", []stepScene{
		{"first use", 16, stepDefault, "", ""},
		{"first use, with the measuring", 16, stepUnmeasured, "measure", ""},
		{"Generator, New", 16, stepFed, "", ""},
		{"Generator, New, 8 KiB", 8 << 10, stepFed, "", ""},
	}},
	{"Reseed and Deplete, and the Read after them", []stepScene{
		{"after Reseed", 16, stepDefault, "read read reseed", ""},
		{"after Deplete", 16, stepDefault, "read read deplete", ""},
		{"Reseed", 16, stepDefault, "read read", "reseed"},
		{"Deplete", 16, stepDefault, "read read", "deplete"},
		{"Generator, after Deplete", 16, stepFed, "read read deplete", ""},
		{"Generator, Reseed", 16, stepFed, "empty read", "reseed"},
	}},
	{"prediction resistance", []stepScene{
		{"prediction resistance", 16, stepDefault, "read read resist", ""},
		{"Generator, prediction resistance", 16, stepFed, "read read resist", ""},
	}},
	{"8 KiB", []stepScene{
		{"8 KiB", 8 << 10, stepDefault, "read read", ""},
		{"8 KiB, after a pause", 8 << 10, stepDefault, "read read pause", ""},
		{"8 KiB, mixing on", 8 << 10, stepDefault, "read read pause read", ""},
		{"Generator, 8 KiB", 8 << 10, stepFed, "empty read", ""},
	}},
	{"70 KiB", []stepScene{
		{"70 KiB", 70 << 10, stepDefault, "read read", ""},
	}},
	{"Generator with its own Entropy", []stepScene{
		{"own Entropy, kept", 16, stepOwn, "empty read", ""},
		{"own Entropy, after a pause", 16, stepOwn, "empty read read read pause", ""},
		{"own Entropy, refill", 16, stepOwn, "empty empty", ""},
		{"own Entropy, 8 KiB", 8 << 10, stepOwn, "empty read", ""},
		{"own Entropy, prediction resistance", 16, stepOwn, "read read resist", ""},
		{"own Entropy, Reseed", 16, stepOwn, "empty read", "reseed"},
		{"own Entropy, New", 16, stepOwn, "", ""},
	}},
	{"pauses without end: the last resort", nil}, // some of these scenes
	{"control: pause detector off", nil},
}

// stepCalls is what a scene may do.
var stepCalls = map[string]func(*stepSource){
	"read":    func(s *stepSource) { s.mustRead(stepLater[:16]) },
	"reseed":  func(s *stepSource) { stepMust(s.reseed([]byte("here"))) },
	"deplete": func(s *stepSource) { s.pool.deplete() },
	"resist":  func(s *stepSource) { s.pool.resist(true) },
	"measure": func(s *stepSource) { stepShared.clock.now += stepRate / 1_000_000 * 50 },
	// 64 us: a burst takes 1/64 of the pause, and so 1 us.
	"pause": func(s *stepSource) { stepShared.clock.now += stepRate / 1_000_000 * 64 },
	// empty uses up what is kept. The buffer of a first Read is mixed, the next one is not.
	"empty": func(s *stepSource) {
		for n := 16; n > 0; n = min(bufferLen-s.pool.shard(0).buffer.pos, stepSmall) {
			s.mustRead(stepLater[:n])
		}
	},
	// most leaves two blocks. After a pause they are mixed, and used up before they are worn.
	"most": func(s *stepSource) {
		for s.mustRead(stepLater[:16]); s.pool.shard(0).buffer.has(3 * blockLen); {
			s.mustRead(stepLater[:16])
		}
	},
	// wear mixes as much with one salt as is worth while.
	"wear": func(s *stepSource) {
		for s.mustRead(stepLater[:16]); !s.pool.shard(0).buffer.worn(); {
			s.mustRead(stepLater[:16])
		}
	},
}

// A stepSource is what is read from: the default Reader's kind, or a Generator.
type stepSource struct {
	host   *host
	conf   Config // of a Generator
	read   readFunc
	reseed func(perso []byte) error
	pool   *pool
}

func newStepSource(kind int, m *stepMachine) *stepSource {
	s := &stepSource{host: newStepHost(m, kind != stepUnmeasured)}
	switch kind {
	case stepDefault, stepUnmeasured:
		s.pool = newPool(s.host, 1)
		s.read, s.reseed = s.pool.Read, s.pool.reseed
	case stepOwn:
		s.conf.Entropy = streamInMemory()
	}
	return s
}

// mustRead makes a Generator at its first Read, for New itself is cloned, too.
func (s *stepSource) mustRead(b []byte) {
	if s.read == nil {
		g, err := newGenerator(&s.conf, s.host)
		stepMust(err)
		s.read, s.reseed, s.pool = g.Read, g.Reseed, &g.pool
	}
	_, err := s.read(b) // is never short without an error
	stepMust(err)
}

func stepMust(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "a process that is cloned:", err)
		os.Exit(3)
	}
}

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

// stepTime is the clock of that machine. It is never set back.
func stepTime() time.Time {
	return time.Unix(1_700_000_000, int64((stepShared.clock.now+stepShared.clock.ahead)/(stepRate/1e9)))
}

// The test binary becomes the process that is cloned when this variable holds the indices of
// a machine, a row of stepScenes and a scene of it.
const stepEnv = "CLONERAND_TEST_STEP"

var (
	stepShared *stepRoom // in that process
	stepAsked  [80 << 10]byte
	// What the Reads after the one that is cloned return: whole blocks, to be compared wherever they are.
	stepLater [16 + 112 + 16 + stepSmall + 16 + 16]byte
	stepSizes = []int{16, 112, 16, stepSmall + 16, 16}
)

// stepEnd is where what is cloned ends.
//
//go:noinline
func stepEnd() {}

// init does not return in that process. It runs on the main thread, as long as it lasts.
func init() {
	var i, j, k int
	if n, _ := fmt.Sscan(os.Getenv(stepEnv), &i, &j, &k); n != 3 {
		return
	}
	debug.SetGCPercent(-1)        // a forked child has one thread only, and a collection would wait for the others
	runtime.MemProfileRate = 0    // a sample, which comes at random, walks the stack in 40,000 instructions
	ossignal.Ignore(unix.SIGCHLD) // copies that have died are not kept
	dieWithParent()
	scene := &stepScenes[j].scenes[k]
	s := newStepSource(scene.source, &stepMachines[i])
	call := stepCalls[scene.call]
	var err error
	stepShared, err = mapStepRoom(stepRoomFD, stepRoomAt)
	stepMust(err)
	// The rest happens in a copy with one thread: nobody in it asks this thread to give
	// way, however slowly it runs.
	pid, errno := forkRaw(0, 0)
	if errno != 0 {
		stepMust(errno)
	}
	for pid != 0 { // until the tracer ends us
		fmt.Println(pid)
		unix.RawSyscall(unix.SYS_PAUSE, 0, 0, 0)
	}
	dieWithParent()
	unix.RawSyscall(unix.SYS_READ, 0, uintptr(unsafe.Pointer(&stepLater)), 1) // until the tracer is there
	r := stepShared
	r.clock.now = 1 << 40                               // the machine has run for some minutes
	s.host.pause.since.store(s.host.pause.readMoment()) // of the measuring
	for _, name := range strings.Fields(scene.before) {
		stepCalls[name](s)
	}
	asked := stepAsked[:scene.n]
	clear(asked) // its pages are there
	runtime.Breakpoint()
	if call != nil {
		call(s)
	}
	s.mustRead(asked)
	stepEnd()
	r.readings = r.clock.readings
	copy(r.asked[:], asked)
	later := stepLater[:0]
	for _, n := range stepSizes {
		later = later[:len(later)+n]
		s.mustRead(later[len(later)-n:])
	}
	r.later, r.done = stepLater, true
	unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
}
