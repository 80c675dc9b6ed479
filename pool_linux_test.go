package rand

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

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

func (x *lockFixture) instances() (all []*state) {
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

// work reads until it is told to stop, and gives the instances their output back, so
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
	all := x.instances()
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
