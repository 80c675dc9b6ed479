package rand

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	mathrand "math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestForks: no two processes of a family share eight bytes in a row, at whatever
// place in their outputs, under anything that guards; and each case would share
// them without.
func TestForks(t *testing.T) {
	for _, c := range forkCases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for guard := range forkGuards {
				if strings.HasPrefix(guard, "control:") {
					continue
				}
				if raceEnabled && guard != "the default reader" {
					continue // a process under the race detector forks slowly
				}
				t.Run(guard, func(t *testing.T) {
					records := runForkCase(t, c, guard)
					if a, b, shared := sharedBytes(records); shared > 0 {
						t.Errorf("%q and %q share bytes, %d times in all", a, b, shared)
					}
				})
			}
			control := guardNone
			if c.blind {
				control = guardPIDOnly
			}
			if c.fresh {
				return // nothing to be copied
			}
			t.Run(control, func(t *testing.T) {
				records := runForkCase(t, c, control)
				if _, _, shared := sharedBytes(records); shared == 0 {
					t.Error("no bytes are shared even without a guard: this case shows nothing")
				}
			})
		})
	}
}

// The process ID, where it does tell, is enough for a generator with its own entropy.
func TestForksByProcessID(t *testing.T) {
	for _, c := range forkCases {
		if c.blind {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			records := runForkCase(t, c, guardPIDOnly)
			if a, b, shared := sharedBytes(records); shared > 0 {
				t.Errorf("%q and %q share bytes, %d times in all", a, b, shared)
			}
		})
	}
}

func runForkCase(t *testing.T, c forkCase, guard string) []record {
	t.Helper()
	out := runForkHelper(t, c.name+"/"+guard, c.blind, 30*time.Second)
	records, err := parseRecords(out)
	if err != nil {
		t.Fatal(err)
	}
	if len(records) != c.records {
		t.Fatalf("%d outputs, want %d", len(records), c.records)
	}
	if c.blind {
		for _, r := range records {
			if r.pid != records[0].pid {
				t.Fatalf("process IDs %d and %d: this is not a case that the ID does not show", records[0].pid, r.pid)
			}
		}
	}
	return records
}

// runForkHelper runs a helper process and returns what it and its children wrote.
func runForkHelper(t *testing.T, role string, namespace bool, limit time.Duration) []byte {
	t.Helper()
	skipEmulated(t, "a child forked past the runtime hangs in the emulator now and then")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := testBinary(ctx)
	cmd.Env = append(os.Environ(), forkHelperEnv+"="+role)
	cmd.ExtraFiles = []*os.File{w} // recordFD
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	cancelWithChildren(cmd)
	if namespace {
		inNewPIDNamespace(cmd.SysProcAttr)
	}
	err = cmd.Start()
	w.Close()
	if namespace && errors.Is(err, unix.EPERM) {
		t.Skipf("this machine refuses a new PID namespace: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	// After the helper's end its children can still hold the pipe, so it is read first.
	out, readErr := io.ReadAll(r)
	err = cmd.Wait()
	unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
	switch {
	case ctx.Err() != nil:
		t.Fatalf("the helper process did not end in %v\n%s", limit, &stderr)
	case cmd.ProcessState.ExitCode() == refusedCode:
		t.Skipf("this machine refuses it: %s", strings.TrimSpace(stderr.String()))
	case err != nil:
		t.Fatalf("helper process: %v\n%s", err, &stderr)
	case readErr != nil:
		t.Fatal(readErr)
	}
	return out
}

// inNewPIDNamespace: who is not root needs a user namespace around it.
func inNewPIDNamespace(a *syscall.SysProcAttr) {
	a.Cloneflags = unix.CLONE_NEWPID
	if os.Geteuid() != 0 {
		a.Cloneflags |= unix.CLONE_NEWUSER
		a.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		a.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
}

// sharedBytes looks at eight bytes from every place of every output, so that it
// finds equal outputs, shifted ones and single blocks alike. It counts what is
// there twice, and names the first two who share.
func sharedBytes(records []record) (a, b string, shared int) {
	type window struct {
		bytes uint64
		of    int
	}
	var windows []window
	for i, r := range records {
		for p := 0; p+8 <= len(r.out); p++ {
			windows = append(windows, window{binary.LittleEndian.Uint64(r.out[p:]), i})
		}
	}
	slices.SortFunc(windows, func(x, y window) int {
		if x.bytes != y.bytes {
			if x.bytes < y.bytes {
				return -1
			}
			return 1
		}
		return x.of - y.of
	})
	for i := 1; i < len(windows); i++ {
		if windows[i].bytes == windows[i-1].bytes {
			if shared++; shared == 1 {
				a, b = records[windows[i-1].of].who, records[windows[i].of].who
			}
		}
	}
	return a, b, shared
}

// What finds shared bytes finds them.
func TestSharedBytes(t *testing.T) {
	x := []byte("0123456789abcdefghijklmnopqrstuv")
	other := []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
	for _, c := range []struct {
		name string
		a, b []byte
		want int
	}{
		{"equal", x, x, len(x) - 7},
		{"different", x, other, 0},
		{"shifted by one", x, x[1:], len(x) - 1 - 7},
		{"one chunk at another place", append(bytes.Clone(other), x[8:16]...), x, 1},
		{"seven bytes", append(bytes.Clone(other), x[8:15]...), x, 0},
		{"twice in one", append(bytes.Clone(x), x[:8]...), other, 1},
	} {
		if _, _, got := sharedBytes([]record{{out: c.a}, {out: c.b}}); got != c.want {
			t.Errorf("%s: %d shared, want %d", c.name, got, c.want)
		}
	}
}

// User-mode QEMU says yes to any madvise and wipes nothing: believed, it would be a
// fork detector that never sees a fork. Everywhere else the page is
// wanted, and a kernel that does not have it says so.
func TestForkPageIsNotBelievedInAnEmulator(t *testing.T) {
	page, why := mapForkPage()
	if os.Getenv(emulatorEnv) == "" {
		if page == nil && !strings.Contains(why, "MADV_WIPEONFORK") {
			t.Errorf("no page, and not for want of MADV_WIPEONFORK: %s", why)
		}
		return
	}
	// Version 7.2 accepts everything. One that passes advice on to the kernel gives a page
	// that is wiped, and refuses what the kernel refuses.
	p, err := unix.Mmap(-1, 0, unix.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(p)
	if unix.Madvise(p, -1) == nil && page != nil {
		t.Error("the emulator accepts advice that does not exist, and was believed to wipe a page")
	}
	w := newHost().clones
	if s := w.current(); s.page == nil && (s.pid != os.Getpid() || s.pageWhy() == "") {
		t.Errorf("no page, so the process ID %d should tell forks, and the report why: it has %d, %q", os.Getpid(), s.pid, s.pageWhy())
	}
	pid := os.Getpid()
	w.identity = func() int { return pid }
	before := w.poll()
	pid++
	if page == nil && w.poll() == before {
		t.Error("another process ID was not noticed")
	}
	t.Logf("page: %v (%s)", page != nil, why)
}

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
			return nil, s.pageWhy()
		}
		h.clones.identity = func() int { return 1 }
		return newReaderOn(h).Read, ""
	},
	"the pause detector alone": func() (readFunc, string) {
		h := newHost()
		h.clones = noDetectors()
		if l, why := h.pause.decided(); l == nil {
			return nil, why
		}
		return newReaderOn(h).Read, ""
	},
	"the pause detector alone, without CPU random": func() (readFunc, string) {
		h := newHost()
		h.clones, h.random = noDetectors(), nil
		if l, why := h.pause.decided(); l == nil {
			return nil, why
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
