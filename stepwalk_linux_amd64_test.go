package rand

import (
	"os"
	ossignal "os/signal"
	"runtime"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"
)

// The test binary becomes the process that is cloned at every instruction when this
// variable names a scene and a machine, as "scene/machine".
const stepEnv = "CLONERAND_TEST_STEP"

func init() {
	if os.Getenv(stepEnv) != "" {
		runtime.LockOSThread() // the main goroutine stays on the main thread, which is traced
	}
}

// What stepMark tells the tracer.
const (
	markBegin = iota + 1 // what is cloned begins; b is where the Read will put its bytes
	markPause            // n ticks pass
	markEnd              // b is what the Read has returned
	markDone             // b is what the Reads after it have returned
	markFail             // a call has failed
)

// stepMark is a breakpoint. The tracer takes its arguments from RAX, RBX, RCX and RDI,
// as Go's internal ABI passes them, and returns from it.
//
//go:noinline
func stepMark(kind, n int, b []byte) {}

var (
	stepAsked [80 << 10]byte
	stepLater [2048]byte
	stepSizes = []int{16, 112, 16, stepSmall + 16, 16} // of the Reads after it; whole blocks, to be compared wherever they are
)

func (s *stepSource) mustRead(b []byte) {
	if n, err := s.read(b); n != len(b) || err != nil {
		stepMark(markFail, n, nil)
	}
}

func stepMust(err error) {
	if err != nil {
		stepMark(markFail, 0, nil)
	}
}

func (s *stepSource) readN(n int) { s.mustRead(stepLater[:n]) }

// A stepScene is a state of a generator, and the call that is cloned in it.
type stepScene struct {
	name    string
	n       int                 // bytes of the Read
	once    bool                // by default on the first machine alone
	source  int                 // stepDefault, stepOf or stepOwn
	prelude func(s *stepSource) // nil: none
	op      func(s *stepSource) // what is cloned begins with this, if not nil
}

const (
	stepDefault = iota // the default Reader
	stepOf             // a Generator fed by the system
	stepOwn            // a Generator with an Entropy of its own
)

// What comes before the call.
func stepKept(s *stepSource)  { s.readN(16); s.readN(16) }
func stepFirst(s *stepSource) { stepEmpty(s); s.readN(16) } // the buffer of a first Read is mixed, the next one is not
func stepPaused(s *stepSource) {
	s.readN(16)
	s.readN(16)
	// 64 us: as long as it takes for a burst of 1 us, where it is one for a 64th of the pause.
	stepMark(markPause, stepRate/1_000_000*64, nil)
}
func stepMixing(s *stepSource) { stepPaused(s); s.readN(16) }
func stepEmpty(s *stepSource) {
	s.readN(16)
	for left := s.left(); left > 0; left = s.left() {
		s.readN(min(left, stepSmall))
	}
}
func stepRefill(s *stepSource)      { stepEmpty(s); stepEmpty(s) }
func stepMixedRefill(s *stepSource) { stepPaused(s); stepEmpty(s) }
func stepMeasure(*stepSource)       { stepMark(markPause, stepRate/1_000_000*50, nil) }
func stepReseed(s *stepSource)      { stepMust(s.reseed([]byte("here"))) }
func stepDeplete(s *stepSource)     { s.deplete() }
func stepResist(s *stepSource)      { s.resist() }

func stepThen(first, then func(*stepSource)) func(*stepSource) {
	return func(s *stepSource) { first(s); then(s) }
}

var stepScenes = []stepScene{
	{"kept", 16, false, stepDefault, stepKept, nil},
	{"kept, 100 bytes", 100, true, stepDefault, stepKept, nil},
	{"after a pause", 16, false, stepDefault, stepPaused, nil},
	{"after a pause, 100 bytes", 100, false, stepDefault, stepPaused, nil},
	{"mixing on", 16, false, stepDefault, stepMixing, nil},
	{"refill", 16, false, stepDefault, stepRefill, nil},
	{"mixed refill", 16, false, stepDefault, stepMixedRefill, nil},
	{"first use", 16, false, stepDefault, nil, nil},
	{"first use, with the measuring", 16, true, stepDefault, stepMeasure, nil},
	{"after Reseed", 16, false, stepDefault, stepThen(stepKept, stepReseed), nil},
	{"after Deplete", 16, false, stepDefault, stepThen(stepKept, stepDeplete), nil},
	{"prediction resistance", 16, false, stepDefault, stepThen(stepKept, stepResist), nil},
	{"8 KiB", 8 << 10, false, stepDefault, stepKept, nil},
	{"8 KiB, after a pause", 8 << 10, false, stepDefault, stepPaused, nil},
	{"8 KiB, mixing on", 8 << 10, true, stepDefault, stepMixing, nil},
	{"70 KiB", 70 << 10, true, stepDefault, stepKept, nil},
	{"Reseed", 16, false, stepDefault, stepKept, stepReseed},
	{"Deplete", 16, false, stepDefault, stepKept, stepDeplete},
	{"Generator, kept", 16, false, stepOf, stepFirst, nil},
	{"Generator, after a pause", 16, false, stepOf, stepThen(stepFirst, stepPaused), nil},
	{"Generator, refill", 16, false, stepOf, stepRefill, nil},
	{"Generator, after Deplete", 16, true, stepOf, stepThen(stepKept, stepDeplete), nil},
	{"Generator, prediction resistance", 16, true, stepOf, stepThen(stepKept, stepResist), nil},
	{"Generator, 8 KiB", 8 << 10, false, stepOf, stepFirst, nil},
	{"Generator, Reseed", 16, false, stepOf, stepFirst, stepReseed},
	{"Generator, New", 16, false, stepOf, nil, nil},
	{"Generator, New, 8 KiB", 8 << 10, true, stepOf, nil, nil},
	{"own Entropy, kept", 16, false, stepOwn, stepFirst, nil},
	{"own Entropy, after a pause", 16, false, stepOwn, stepThen(stepFirst, stepPaused), nil},
	{"own Entropy, refill", 16, false, stepOwn, stepRefill, nil},
	{"own Entropy, 8 KiB", 8 << 10, true, stepOwn, stepFirst, nil},
	{"own Entropy, prediction resistance", 16, true, stepOwn, stepThen(stepKept, stepResist), nil},
	{"own Entropy, Reseed", 16, false, stepOwn, stepFirst, stepReseed},
	{"own Entropy, New", 16, false, stepOwn, nil, nil},
}

// stepHelper does not return in the process that is cloned.
func stepHelper() {
	role := os.Getenv(stepEnv)
	if role == "" {
		return
	}
	debug.SetGCPercent(-1) // a forked child has one thread only, and a collection would wait for the others
	runtime.GOMAXPROCS(1)
	ossignal.Ignore(unix.SIGCHLD) // copies that have died are not kept
	dieWithParent()
	scene, m := stepRole(role)
	if scene == nil || m == nil {
		os.Stderr.WriteString("no such scene or machine: " + role + "\n")
		os.Exit(3)
	}
	h := newStepHost(m, !strings.HasSuffix(scene.name, "measuring"))
	var s *stepSource
	switch scene.source {
	case stepDefault:
		s = newStepReader(h)
	case stepOf:
		s = newStepGenerator(h, &Config{})
	case stepOwn:
		s = newStepGenerator(h, &Config{Entropy: streamInMemory()})
	}
	// The rest happens in a copy with one thread: nobody in it asks this thread to give
	// way, however slowly it runs.
	runtime.Gosched()
	pid, errno := forkRaw(0, 0)
	if errno != 0 {
		os.Exit(3)
	}
	for pid != 0 { // until the tracer ends us
		unix.RawSyscall(unix.SYS_PAUSE, 0, 0, 0)
	}
	dieWithParent()
	s.startMeasure()
	if scene.prelude != nil {
		scene.prelude(s)
	}
	asked := stepAsked[:scene.n]
	clear(asked)
	stepMark(markBegin, 0, asked)
	if scene.op != nil {
		scene.op(s)
	}
	s.mustRead(asked)
	stepMark(markEnd, 0, asked)
	done := 0
	for _, n := range stepSizes {
		s.mustRead(stepLater[done : done+n])
		done += n
	}
	stepMark(markDone, 0, stepLater[:done])
	unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
}

// stepRole is the scene and the machine of a role, or nil where it names none.
func stepRole(role string) (scene *stepScene, m *stepMachine) {
	name, machine, _ := strings.Cut(role, "/")
	for i := range stepScenes {
		if stepScenes[i].name == name {
			scene = &stepScenes[i]
		}
	}
	for i := range stepMachines {
		if stepMachines[i].name == machine {
			m = &stepMachines[i]
		}
	}
	return scene, m
}
