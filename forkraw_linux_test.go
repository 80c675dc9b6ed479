package rand

import (
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The test binary becomes a helper process, which forks, when this environment
// variable names a fork case and what guards it.
const forkHelperEnv = "CLONERAND_TEST_FORK"

const (
	recordHeader = 32 + 4 + 4 // name, process ID, number of bytes
	recordFD     = 3          // the pipe to the test
	refusedCode  = 77         // exit status: this machine does not allow it; stderr says what
)

func init() { roles = append(roles, forkHelper) }

// forkHelper does not return in a helper process.
func forkHelper() {
	role := os.Getenv(forkHelperEnv)
	if role == "" {
		return
	}
	name, guard, _ := strings.Cut(role, "/")
	// A forked child has one thread only, and a collection would wait for the others.
	debug.SetGCPercent(-1)
	dieWithParent()
	switch name {
	case "locks":
		forkLocksMain(guard)
	case "hook":
		forkHookMain(guard)
	default:
		forkCaseMain(name, guard)
	}
	os.Exit(0)
}

// forkRaw copies this process by a system call that the runtime knows nothing of.
// tid, if not 0, is the process ID that the child is to get. The child has one thread, and
// a goroutine that is locked to it would wait for another one where it is told to give way.
func forkRaw(flags uintptr, tid int) (pid int, errno unix.Errno) {
	runtime.Gosched() // a new time slice: no request to give way is due in the child
	var r uintptr
	if tid == 0 {
		flags, stack := flags|uintptr(unix.SIGCHLD), uintptr(0)
		if runtime.GOARCH == "s390x" { // takes them the other way round
			flags, stack = stack, flags
		}
		r, _, errno = unix.RawSyscall6(unix.SYS_CLONE, flags, stack, 0, 0, 0, 0)
		return int(r), errno
	}
	forkTID = int32(tid)
	forkArgs = cloneArgs{
		flags: uint64(flags), exitSignal: uint64(unix.SIGCHLD),
		setTID: uint64(uintptr(unsafe.Pointer(&forkTID))), setTIDSize: 1,
	}
	r, _, errno = unix.RawSyscall(unix.SYS_CLONE3, uintptr(unsafe.Pointer(&forkArgs)), unsafe.Sizeof(forkArgs), 0)
	return int(r), errno
}

// cloneArgs is struct clone_args of Linux include/uapi/linux/sched.h, version 1.
type cloneArgs struct {
	flags, pidfd, childTID, parentTID, exitSignal uint64
	stack, stackSize, tls, setTID, setTIDSize     uint64
}

// Package variables, so that their addresses stay what they are.
var (
	forkArgs cloneArgs
	forkTID  int32
	forkBuf  [4096]byte // PIPE_BUF: what a write does not mix with others
)

// A forker is a process of a fork case: the helper process, or one of its copies.
type forker struct {
	source func([]byte) (int, error)
	sizes  []int // of the Reads that make one output
}

// read takes one output from the source and tells the test.
func (f *forker) read(who string, number ...int) {
	name := forkBuf[:32]
	clear(name)
	n := copy(name, who)
	for _, i := range number { // by hand: what is done in a child should not allocate
		name[n], name[n+1], name[n+2] = ' ', byte('0'+i/10), byte('0'+i%10)
		n += 3
	}
	end := recordHeader
	for _, size := range f.sizes {
		out := forkBuf[end : end+size]
		if n, err := f.source(out); n != size || err != nil {
			f.exit(3, "Read failed in "+who)
		}
		end += size
	}
	binary.LittleEndian.PutUint32(forkBuf[32:], uint32(unix.Getpid()))
	binary.LittleEndian.PutUint32(forkBuf[36:], uint32(end-recordHeader))
	if !rawWrite(recordFD, forkBuf[:end]) {
		f.exit(3, "write failed in "+who)
	}
	clear(forkBuf[:])
}

// fork runs child in a copy of this process, which ends after it.
func (f *forker) fork(child func()) (pid int) { return f.forkInto(0, 0, child) }

func (f *forker) forkInto(flags uintptr, tid int, child func()) (pid int) {
	for range 2000 {
		pid, errno := forkRaw(flags, tid)
		switch {
		case errno == unix.EEXIST: // the process that had this ID is not gone yet
			unix.Nanosleep(&unix.Timespec{Nsec: 1e6}, nil)
			continue
		case errno == unix.EPERM, errno == unix.EINVAL, errno == unix.ENOSYS:
			f.exit(refusedCode, "fork refused: "+errno.Error())
		case errno != 0:
			f.exit(3, "fork: "+errno.Error())
		case pid == 0:
			dieWithParent()
			child()
			f.exit(0, "")
		}
		return pid
	}
	f.exit(3, "a process ID does not become free")
	return 0
}

// wait waits for children, and ends as they do if that is badly.
func (f *forker) wait(pids ...int) {
	for _, pid := range pids {
		var status unix.WaitStatus
		_, err := unix.Wait4(pid, &status, 0, nil)
		for err == unix.EINTR {
			_, err = unix.Wait4(pid, &status, 0, nil)
		}
		switch {
		case err != nil:
			f.exit(3, "wait: "+err.Error())
		case status.ExitStatus() != 0: // -1 where a signal has ended it
			f.exit(status.ExitStatus()&0xff, "a child failed")
		}
	}
}

func (f *forker) exit(code int, why string) {
	if why != "" {
		rawWrite(2, []byte(why+"\n"))
	}
	unix.RawSyscall(unix.SYS_EXIT_GROUP, uintptr(code), 0, 0)
}

// dieWithParent: a process that hangs is not to be left over when the test is killed.
func dieWithParent() {
	unix.RawSyscall(unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0)
}

func rawWrite(fd uintptr, b []byte) bool {
	n, _, _ := unix.RawSyscall(unix.SYS_WRITE, fd, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	return n == uintptr(len(b))
}

// A record is an output as the test gets it.
type record struct {
	who string
	pid int
	out []byte
}

func parseRecords(b []byte) (records []record, err error) {
	for len(b) > 0 {
		if len(b) < recordHeader {
			return nil, fmt.Errorf("%d bytes are no record", len(b))
		}
		n := int(binary.LittleEndian.Uint32(b[36:]))
		if n > len(b)-recordHeader {
			return nil, fmt.Errorf("a record of %d bytes is cut short", n)
		}
		records = append(records, record{
			who: strings.TrimRight(string(b[:32]), "\x00"),
			pid: int(binary.LittleEndian.Uint32(b[32:])),
			out: b[recordHeader : recordHeader+n],
		})
		b = b[recordHeader+n:]
	}
	return records, nil
}

const (
	lockRounds  = 1000
	lockWorkers = 4
	childLimit  = 5 * time.Second // of what takes well under a millisecond

	foundLocked = 10 // exit status of a child that found a lock held
)

// TestLocksHeldAtAFork: whatever lock another thread held when this one forked, no
// method hangs in the child.
//
// The Go runtime has locks of its own that a child can find held. So the threads
// only do what takes none of them: they read output that is kept already. The
// control does the same, and its children allocate as much, without this package. Since
// most children find a lock held, one of ours that hangs them hangs hundreds.
func TestLocksHeldAtAFork(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector's runtime has locks of its own: children of the control hang, too")
	}
	result := func(kind string) (rounds, locked, hung int) {
		out := runForkHelper(t, "locks/"+kind, false, 5*time.Minute)
		if _, err := fmt.Sscanf(string(out), "%d rounds, %d locked, %d hung", &rounds, &locked, &hung); err != nil {
			t.Fatalf("%s: %q: %v", kind, out, err)
		}
		t.Logf("%s: %s", kind, out)
		return rounds, locked, hung
	}
	_, _, controlHung := result("control")
	for _, kind := range []string{"reads", "all held"} {
		rounds, locked, hung := result(kind)
		if rounds == 0 || locked == 0 {
			t.Errorf("%s: no child found a lock held: this shows nothing", kind)
		}
		if allowed := controlHung + rounds/500; hung > allowed {
			t.Errorf("%s: %d of %d children hung, %d without this package", kind, hung, rounds, controlHung)
		}
	}
}

// lockFixture is what the threads read from when one of them forks.
type lockFixture struct {
	r *pool
	g *Generator
}

func newLockFixture(f *forker) *lockFixture {
	h := newHost()
	h.pause = neverPaused() // or they would mix, for which memory is allocated
	g, err := newGenerator(&Config{}, h)
	if err != nil {
		f.exit(3, err.Error())
	}
	return &lockFixture{newReaderOn(h), g}
}

func (x *lockFixture) states() (all []*state) {
	for i := range x.r.shards.Load().states {
		all = append(all, x.r.only(i).shard(0))
	}
	return append(all, x.g.state())
}

// fill makes kept output in each.
func (x *lockFixture) fill(all []*state) {
	o := x.r.epoch.Load()
	for i, s := range all {
		if i == len(all)-1 {
			o = x.g.pool.epoch.Load()
		}
		s.read(make([]byte, 16), o, 0)
	}
}

// work reads until it is told to stop, and gives the states their output back, so
// that they need not be filled, which allocates memory.
func (x *lockFixture) work(stop *atomic.Bool, all []*state) {
	var b [16]byte
	for !stop.Load() {
		for range 8 {
			x.r.Read(b[:])
			x.g.Read(b[:])
		}
		for _, s := range all {
			if s.lock.tryLock() {
				s.buffer.pos, s.buffer.erased = 0, 0
				s.lock.unlock()
			}
		}
	}
}

// child calls every method that takes a lock. Its status says whether one was held.
func (x *lockFixture) child(f *forker, all []*state) {
	status := 0
	for _, s := range all {
		if s.lock.held == 1 {
			status = foundLocked
		}
	}
	var b [40]byte
	for range 2 {
		if _, err := x.r.Read(b[:]); err != nil {
			f.exit(3, err.Error())
		}
		if _, err := x.g.Read(b[:]); err != nil {
			f.exit(3, err.Error())
		}
		if err := x.r.reseed(nil); err != nil {
			f.exit(3, err.Error())
		}
		if err := x.g.Reseed(nil); err != nil {
			f.exit(3, err.Error())
		}
		x.r.deplete()
		x.g.Deplete()
		x.g.Uint64()
	}
	f.exit(status, "")
}

func forkLocksMain(kind string) {
	runtime.GOMAXPROCS(lockWorkers + 2)
	f := new(forker)
	x := newLockFixture(f)
	all := x.states()
	x.fill(all)
	cryptoReader.Read(make([]byte, 16))

	var stop atomic.Bool
	work := func() { x.work(&stop, all) }
	child := func() { x.child(f, all) }
	rounds := lockRounds
	before, after := func() {}, func() {}
	switch kind {
	case "control":
		work = func() {
			var b [16]byte
			for !stop.Load() {
				cryptoReader.Read(b[:])
			}
		}
		child = func() {
			for range 40 {
				forkSink = make([]byte, 5000)
				cryptoReader.Read(forkSink[:40])
			}
			f.exit(0, "")
		}
	case "all held":
		// Nobody else is there, and whoever forks does so with all locks held, as a
		// thread that a signal handler of C code stops in a Read.
		rounds = 20
		work = func() {}
		runtime.LockOSThread()
		before = func() {
			for _, s := range all {
				if !s.lock.tryLock() {
					f.exit(3, "a lock is held")
				}
			}
		}
		after = func() {
			for _, s := range all {
				s.lock.unlock()
			}
		}
	}
	for range lockWorkers {
		go work()
	}
	locked, hung := 0, 0
	forks := 0
	for ; forks < rounds && hung < 5; forks++ {
		before()
		pid := f.fork(child)
		after()
		switch status := waitLimited(pid); status {
		case 0:
		case foundLocked:
			locked++
		case -1:
			hung++
		default:
			f.exit(3, fmt.Sprintf("a child ended with status %d", status))
		}
	}
	stop.Store(true)
	rawWrite(recordFD, fmt.Appendf(nil, "%d rounds, %d locked, %d hung", forks, locked, hung))
}

// forkSink keeps the control's memory on the heap.
var forkSink []byte

// waitLimited returns the exit status of a child, -1 for one that had to be killed.
func waitLimited(pid int) int {
	var status unix.WaitStatus
	for deadline := time.Now().Add(childLimit); time.Now().Before(deadline); {
		if done, _ := unix.Wait4(pid, &status, unix.WNOHANG, nil); done == pid {
			if status.Exited() {
				return status.ExitStatus()
			}
			return 128 + int(status.Signal())
		}
		unix.Nanosleep(&unix.Timespec{Nsec: 100_000}, nil)
	}
	unix.Kill(pid, unix.SIGKILL)
	unix.Wait4(pid, &status, 0, nil)
	return -1
}

// hookForks is how often a process with a function of OnClone forks.
const hookForks = 10

// TestOnCloneIsToldInAForkedChild: a function that the parent has registered is called once in a
// forked child, whoever looks at the detectors there. Go's runtime works only in part in such a
// child, see docs/fork.md, so a few may hang. All others must be told.
func TestOnCloneIsToldInAForkedChild(t *testing.T) {
	for _, c := range []struct {
		look string
		want string
	}{
		{"a Read", "told 1 times, at last of 2, Generation is 2"},
		{"a Generation", "told 1 times, at last of 2, Generation is 2"},
		{"the poll", "told 1 times, at last of 2, Generation is 2"},
		{"a Read after stop", "told 0 times, at last of 0, Generation is 2"},
	} {
		t.Run(c.look, func(t *testing.T) {
			t.Parallel()
			out := runForkHelper(t, "hook/"+c.look, false, time.Minute)
			lines := strings.Split(strings.TrimSpace(string(out)), "\n")
			last := len(lines) - 1
			if want := "parent: told 0 times, at last of 0, Generation is 1"; lines[last] != want {
				t.Errorf("%q, want %q", lines[last], want)
			}
			for _, line := range lines[:last] {
				if want := "child: " + c.want; line != want {
					t.Errorf("%q, want %q", line, want)
				}
			}
			if last < hookForks*8/10 {
				t.Errorf("%d of %d children hung", hookForks-last, hookForks)
			}
		})
	}
}

func forkHookMain(look string) {
	runtime.GOMAXPROCS(1) // or the new goroutine is given to a thread that the child does not have
	f := new(forker)
	var calls, told atomic.Uint64
	stop := OnClone(func(generation uint64) {
		calls.Add(1)
		told.Store(generation)
	})
	var b [16]byte
	Read(b[:])
	Generation()
	yield := func() {
		for range 100 {
			runtime.Gosched()
		}
	}
	// A child does not sleep: a thread that it does not have may be the one to wait for timers.
	run := func(limit time.Duration, enough func() bool) {
		for start := time.Now(); time.Since(start) < limit && !enough(); {
			runtime.Gosched()
		}
	}
	say := func(who string) {
		rawWrite(recordFD, fmt.Appendf(nil, "%s: told %d times, at last of %d, Generation is %d\n", who, calls.Load(), told.Load(), Generation()))
	}
	for fork := range hookForks {
		waitLimited(f.fork(func() {
			switch look {
			case "a Read":
				Read(b[:])
			case "a Generation":
				Generation()
			case "a Read after stop":
				stop()
				// On a busy machine the child begins with the poll, which may have told it before.
				yield()
				calls.Store(0)
				told.Store(0)
				Read(b[:])
			case "the poll":
				run(childLimit/2, func() bool { return calls.Load() > 0 })
			}
			yield() // the poll does not look so soon
			if fork == 0 {
				run(2*hookPoll, func() bool { return calls.Load() > 1 })
			}
			say("child")
		}))
	}
	say("parent")
}
