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
	name   string
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
		{"mixed refill", 16, stepDefault, "read read pause empty", ""},
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
}

// stepCalls is what a scene may do.
var stepCalls = map[string]func(*stepSource){
	"read":    func(s *stepSource) { s.mustRead(stepLater[:16]) },
	"reseed":  func(s *stepSource) { stepMust(s.reader.Reseed([]byte("here"))) },
	"deplete": func(s *stepSource) { s.reader.Deplete() },
	"resist":  func(s *stepSource) { stepMust(s.reader.SetPredictionResistance(true)) },
	"measure": func(s *stepSource) { stepShared.clock.now += stepRate / 1_000_000 * 50 },
	// 64 us: as long as it takes for a burst of 1 us, where it is one for a 64th of the pause.
	"pause": func(s *stepSource) { stepShared.clock.now += stepRate / 1_000_000 * 64 },
	// empty uses up what is kept. The buffer of a first Read is mixed, the next one is not.
	"empty": func(s *stepSource) {
		s.mustRead(stepLater[:16])
		for left := s.left(); left > 0; left = s.left() {
			s.mustRead(stepLater[:min(left, stepSmall)])
		}
	},
}

// A stepReader is a Generator, or the default Reader's kind.
type stepReader interface {
	Read(b []byte) (n int, err error)
	Reseed(perso []byte) error
	Deplete()
	SetPredictionResistance(enabled bool) error
}

type stepPool struct{ *pool }

func (p stepPool) Reseed(perso []byte) error { return p.reseed(perso) }
func (p stepPool) Deplete()                  { p.deplete() }
func (p stepPool) SetPredictionResistance(enabled bool) error {
	p.resist(enabled)
	return nil
}

// A stepSource is what is read from.
type stepSource struct {
	host   *host
	conf   *Config // of a Generator
	reader stepReader
	pool   *pool
}

func newStepSource(kind int, m *stepMachine) *stepSource {
	s := &stepSource{host: newStepHost(m, kind != stepUnmeasured), conf: new(Config)}
	switch kind {
	case stepDefault, stepUnmeasured:
		s.pool = newPool(s.host, 1)
		s.reader = stepPool{s.pool}
	case stepOwn:
		s.conf.Entropy = streamInMemory()
	}
	return s
}

// mustRead makes a Generator at its first Read, for New itself is cloned, too.
func (s *stepSource) mustRead(b []byte) {
	if s.reader == nil {
		g, err := newGenerator(s.conf, s.host)
		stepMust(err)
		s.reader, s.pool = g, &g.pool
	}
	_, err := s.reader.Read(b) // is never short without an error
	stepMust(err)
}

// left is how many bytes of output are kept.
func (s *stepSource) left() int { return bufferLen - s.pool.shards.Load().states[0].Load().buffer.pos }

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

// The test binary becomes the process that is cloned when this variable names a machine and
// a scene, as "machine/scene".
const stepEnv = "CLONERAND_TEST_STEP"

var (
	stepShared *stepRoom // in that process
	stepAsked  [80 << 10]byte
	stepLater  [16 + 112 + 16 + stepSmall + 16 + 16]byte
	// The Reads after the one that is cloned: whole blocks, to be compared wherever they are.
	stepSizes = []int{16, 112, 16, stepSmall + 16, 16}
)

// stepEnd is where what is cloned ends.
//
//go:noinline
func stepEnd() {}

// init does not return in that process. It runs on the main thread, before there are others
// of ours.
func init() {
	machine, name, ok := strings.Cut(os.Getenv(stepEnv), "/")
	if !ok {
		return
	}
	debug.SetGCPercent(-1) // a forked child has one thread only, and a collection would wait for the others
	runtime.GOMAXPROCS(1)
	ossignal.Ignore(unix.SIGCHLD) // copies that have died are not kept
	dieWithParent()
	var err error
	stepShared, err = mapStepRoom()
	stepMust(err)
	m, scene := stepRole(machine, name)
	s := newStepSource(scene.source, m)
	call := stepCalls[scene.call]
	// The rest happens in a copy with one thread: nobody in it asks this thread to give
	// way, however slowly it runs.
	runtime.Gosched()
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
	stepShared.clock.now = 1 << 40                                            // the machine has run for some minutes
	s.host.pause.since = s.host.pause.readMoment()                            // of the measuring
	for name := range strings.FieldsSeq(scene.before) {
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
	r := stepShared
	copy(r.asked[:], asked)
	r.readings = r.clock.readings
	done := 0
	for _, n := range stepSizes {
		s.mustRead(stepLater[done : done+n])
		done += n
	}
	r.later = stepLater
	r.done = true
	unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
}

// stepRole finds the machine and the scene of these names.
func stepRole(machine, name string) (m *stepMachine, scene *stepScene) {
	for i := range stepMachines {
		if stepMachines[i].name == machine {
			m = &stepMachines[i]
		}
	}
	for _, row := range stepScenes {
		for i := range row.scenes {
			if row.scenes[i].name == name {
				scene = &row.scenes[i]
			}
		}
	}
	return m, scene
}
