package rand

import (
	mathrand "math/rand/v2"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// A forkCase is a family of processes that read from copies of one state.
type forkCase struct {
	name    string
	run     func(f *forker)
	records int

	fresh bool // nothing was read before, so that there is no state yet to be copied

	// blind: all who read have the same process ID. The helper process is then the
	// first of a new PID namespace.
	blind bool
}

var forkCases = []forkCase{
	{name: "the parent reads never", records: 2, run: func(f *forker) {
		f.wait(f.fork(func() { f.read("child", 1) }), f.fork(func() { f.read("child", 2) }))
	}},
	{name: "the parent reads before two children", records: 3, run: func(f *forker) {
		f.read("parent")
		f.wait(f.fork(func() { f.read("child", 1) }), f.fork(func() { f.read("child", 2) }))
	}},
	{name: "the parent reads between two children", records: 3, run: func(f *forker) {
		child := f.fork(func() { f.read("child", 1) })
		f.read("parent")
		f.wait(child, f.fork(func() { f.read("child", 2) }))
	}},
	{name: "the parent reads after two children", records: 3, run: func(f *forker) {
		f.wait(f.fork(func() { f.read("child", 1) }), f.fork(func() { f.read("child", 2) }))
		f.read("parent")
	}},
	{name: "the parent reads always", records: 5, run: func(f *forker) {
		f.read("parent", 1)
		child := f.fork(func() { f.read("child", 1) })
		f.read("parent", 2)
		f.wait(child, f.fork(func() { f.read("child", 2) }))
		f.read("parent", 3)
	}},
	{name: "nobody has read before", records: 3, fresh: true, run: func(f *forker) {
		f.wait(f.fork(func() { f.read("child", 1) }), f.fork(func() { f.read("child", 2) }))
		f.read("parent")
	}},
	{name: "grandchildren", records: 6, run: func(f *forker) {
		child := f.fork(func() {
			a := f.fork(func() { f.read("grandchild", 1) })
			b := f.fork(func() { f.read("grandchild", 2) })
			f.read("child", 1)
			f.wait(a, b)
		})
		other := f.fork(func() {
			f.wait(f.fork(func() { f.read("grandchild", 3) })) // of a child that does not read
		})
		f.wait(child, other, f.fork(func() { f.read("child", 3) }))
		f.read("parent")
	}},
	{name: "nine children in sixteen rounds", records: 16 * 10, run: func(f *forker) {
		f.sizes = []int{16, 40}
		for round := range 16 {
			var children [9]int
			for i := range children {
				children[i] = f.fork(func() { f.read("child", round, i) })
			}
			f.read("parent", round)
			f.wait(children[:]...)
		}
	}},
	{name: "a chain of read, fork, read", records: 24, run: func(f *forker) {
		var link func(depth int)
		link = func(depth int) {
			f.read("generation", depth, 1)
			if depth < 11 {
				child := f.fork(func() { link(depth + 1) })
				f.read("generation", depth, 2)
				f.wait(child)
			} else {
				f.read("generation", depth, 2)
			}
		}
		link(0)
	}},
	{name: "a chain that reads after its child", records: 12, run: func(f *forker) {
		var link func(depth int)
		link = func(depth int) {
			if depth < 11 {
				f.wait(f.fork(func() { link(depth + 1) }))
			}
			f.read("generation", depth)
		}
		link(0)
	}},

	// The cases (a) to (d) that the process ID does not show.
	{name: "a grandchild with the ID of the dead original", records: 2, blind: true, run: func(f *forker) {
		original := f.fork(func() {
			f.prime() // under its own ID
			id := unix.Getpid()
			// The child's parent is the helper, so that it can be waited for.
			f.forkInto(unix.CLONE_PARENT, 0, func() {
				f.wait(f.forkInto(0, id, func() { f.read("grandchild") }))
			})
			f.read("original")
		})
		f.wait(original, -1)
	}},
	{name: "a new PID namespace made by PID 1", records: 3, blind: true, run: func(f *forker) {
		a := f.forkInto(unix.CLONE_NEWPID, 0, func() { f.read("child", 1) })
		b := f.forkInto(unix.CLONE_NEWPID, 0, func() { f.read("child", 2) })
		f.read("parent")
		f.wait(a, b)
	}},
	{name: "a child moved into another PID namespace", records: 2, blind: true, run: func(f *forker) {
		runtime.LockOSThread() // it is this thread whose children move
		if err := unix.Unshare(unix.CLONE_NEWPID); err != nil {
			f.exit(refusedCode, "unshare: "+err.Error())
		}
		child := f.fork(func() { f.read("child") })
		f.read("parent")
		f.wait(child)
	}},
	{name: "the parent's ID given again in a new namespace", records: 2, blind: true, run: func(f *forker) {
		f.wait(f.fork(func() {
			f.prime()
			id := unix.Getpid()
			first := f.forkInto(unix.CLONE_NEWPID, 0, func() {
				f.wait(f.forkInto(0, id, func() { f.read("grandchild") }))
			})
			f.read("parent")
			f.wait(first)
		}))
	}},
}

// prime makes sure that there is a state, with kept output, under this process's ID.
func (f *forker) prime() {
	if _, err := f.source(forkBuf[:20]); err != nil {
		f.exit(3, err.Error())
	}
	clear(forkBuf[:])
}

func forkCaseMain(name, guard string) {
	runtime.GOMAXPROCS(1) // other threads are then not at the runtime's locks
	f := &forker{sizes: []int{16, 40, maxSmall + 100}}
	source, why := forkGuards[guard]()
	if source == nil {
		f.exit(refusedCode, why)
	}
	f.source = source
	for _, c := range forkCases {
		if c.name != name {
			continue
		}
		// The operating system's generator says at its first use what it says once.
		cryptoReader.Read(make([]byte, 16))
		if !c.fresh {
			f.prime()
		}
		c.run(f)
		os.Exit(0)
	}
	f.exit(3, "no such case")
}

// What the processes of a case read from: everything that must never repeat, and the
// two controls, which must.
const (
	guardNone    = "control: nothing"
	guardPIDOnly = "control: the process ID"
)

var forkGuards = map[string]func() (read readFunc, why string){
	"the default reader": func() (readFunc, string) { return Read, "" },
	"the wiped page alone": func() (readFunc, string) {
		h := newHost()
		h.pause = neverPaused()
		if s := h.clones.current(); s.page == nil {
			return nil, s.pageWhy
		}
		h.clones.identity = func() int { return 1 }
		return newReaderOn(h).Read, ""
	},
	"the pause detector alone": func() (readFunc, string) {
		h := newHost()
		h.clones = noDetectors()
		unix.Nanosleep(&unix.Timespec{Nsec: 1e6}, nil)
		if h.pause.usable() == nil {
			return nil, "no usable counter"
		}
		return newReaderOn(h).Read, ""
	},
	"the pause detector alone, without CPU random": func() (readFunc, string) {
		h := newHost()
		h.clones, h.random = noDetectors(), nil
		unix.Nanosleep(&unix.Timespec{Nsec: 1e6}, nil)
		if h.pause.usable() == nil {
			return nil, "no usable counter"
		}
		return newReaderOn(h).Read, ""
	},
	"no counter and no detector": func() (readFunc, string) {
		h := newHost()
		h.clones, h.pause = noDetectors(), counterOff()
		return newReaderOn(h).Read, ""
	},
	"the process ID and no counter": func() (readFunc, string) {
		h := newHost()
		h.clones, h.pause = pidOnly(), counterOff()
		return newReaderOn(h).Read, ""
	},
	"the process ID and the pause detector": func() (readFunc, string) {
		h := newHost()
		h.clones = pidOnly()
		return newReaderOn(h).Read, ""
	},
	"a generator": func() (readFunc, string) {
		return forkGenerator(&Config{}, newHost())
	},
	"a generator under prediction resistance": func() (readFunc, string) {
		return forkGenerator(&Config{PredictionResistance: true}, newHost())
	},
	// Children of one parent read the same stream, so that only the event differs.
	"a generator with a stream in memory": func() (readFunc, string) {
		return forkGenerator(&Config{Entropy: streamInMemory()}, newHost())
	},
	"the same under prediction resistance": func() (readFunc, string) {
		return forkGenerator(&Config{Entropy: streamInMemory(), PredictionResistance: true}, newHost())
	},

	guardNone: func() (readFunc, string) {
		r := newUnguardedReader().(*pool)
		oneShard(r) // parent and child are not to use two of them
		return r.Read, ""
	},
	guardPIDOnly: func() (readFunc, string) {
		h := newHost()
		h.clones = pidOnly()
		return forkGenerator(&Config{Entropy: streamInMemory(), Deterministic: true}, h)
	},
}

func forkGenerator(cfg *Config, h *host) (readFunc, string) {
	g, err := newGenerator(cfg, h)
	if err != nil {
		return nil, err.Error()
	}
	return g.Read, ""
}

func oneShard(r *pool) *pool {
	f := r.shards.Load()
	f.states = f.states[:1]
	return r
}

// streamInMemory is an entropy source that is copied with the process.
func streamInMemory() *mathrand.ChaCha8 { return mathrand.NewChaCha8([32]byte{1}) }

// counterOff is a detector on a machine without a usable counter.
func counterOff() *pauseDetector {
	p := new(pauseDetector)
	p.limits.Store(&pauseLimits{why: "switched off for a test"})
	return p
}
