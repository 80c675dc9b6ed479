package rand

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// A draw excludes all others by two locks, since neither is enough.
//
// Between processes it is an fcntl lock on FILE.lock. The file is one of its own,
// since the rename of a draw would take a lock on FILE away. The kernel drops the
// lock when its process ends, however it ends. A flock would not do: a forked child
// shares its parent's, and keeps it after the parent's death.
//
// Within a process an fcntl lock excludes nobody, and is lost when anyone closes
// the file. So the gate comes first. It is no mutex: one that another thread holds
// at a fork would stay locked in the child for ever.
//
// Neither lock is waited for. Both are tried again until the time is over, and the
// gate is left in between, so that a seed that is stuck does not hold up others.
// There is no queue: a process that draws again at once would keep the others out.
// So a process that has just drawn naps first, as the others do between tries.

// lastDraw is when this process last gave a lock back, in nanoseconds since package init.
var lastDraw atomic.Int64

// nap takes between one and two milliseconds, so that those who try do not keep step.
func nap() {
	napThread(time.Millisecond + time.Duration(time.Now().Nanosecond())%time.Millisecond)
}

// gate is held by the one goroutine of this process that is in a draw. A forked
// child makes a new one: whoever holds the old one may have stayed in the parent.
var gate atomic.Pointer[forkGate]

type forkGate struct {
	forks uint64 // how many were known when it was made
	held  atomic.Bool
}

// enterGate returns the gate, held, or nil if somebody else holds it.
func enterGate() *forkGate {
	forks := thisHost.clones.current().forks
	g := gate.Load()
	if g == nil || g.forks < forks {
		gate.CompareAndSwap(g, &forkGate{forks: forks})
		g = gate.Load()
	}
	if !g.held.CompareAndSwap(false, true) {
		return nil
	}
	return g
}

func (g *forkGate) leave() { g.held.Store(false) }

// lock takes both locks. owner is the seed, whose owner the lock file gets.
func (s *NVSeed) lock(p *seedFolder, owner fs.FileInfo) (unlock func(), err error) {
	name := p.full(p.name + lockSuffix)
	deadline := time.Now().Add(s.wait)
	holder := "another goroutine of this process" // until the lock file tells
	if last := lastDraw.Load(); last != 0 && time.Since(packageInit.clock)-time.Duration(last) < time.Millisecond {
		nap()
	}
	for {
		if g := enterGate(); g != nil {
			f, other, err := s.tryLock(p, owner)
			if f != nil {
				return func() {
					f.Close()
					lastDraw.Store(int64(time.Since(packageInit.clock)))
					g.leave()
				}, nil
			}
			g.leave()
			if err != nil {
				return nil, fmt.Errorf("lock %s: %w", name, err)
			}
			holder = other
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("lock %s: held by %s for more than %v: wait for it to finish, or end it if it hangs", name, holder, s.wait)
		}
		nap()
	}
}

// tryLock returns the open lock file whose lock it holds, or who holds it.
func (s *NVSeed) tryLock(p *seedFolder, owner fs.FileInfo) (f *os.File, holder string, err error) {
	f, err = p.openLock(owner)
	if f == nil {
		return nil, "nobody", err
	}
	s.at("lock opened")
	locked, holder, err := lockFile(f)
	if err == nil && locked {
		// Someone may have removed the file while it was opened: then this lock
		// excludes nobody who comes later.
		var mine, named fs.FileInfo
		if mine, err = f.Stat(); err == nil {
			named, err = p.lstat(p.name + lockSuffix)
		}
		if err == nil && os.SameFile(mine, named) {
			return f, "", nil
		}
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		holder = "nobody"
	}
	f.Close()
	return nil, holder, err
}

const adviceLock = "it must be a regular file of the owner of the seed: remove it while nothing draws"

// openLock opens the lock file, or makes it for the owner of the seed. It returns nil and nil if it was made or
// replaced at this moment. The owner and mode of one that is there are left alone.
func (p *seedFolder) openLock(owner fs.FileInfo) (*os.File, error) {
	name := p.name + lockSuffix
	seen, err := p.lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return p.createLock(name, owner)
	case err != nil:
		return nil, p.advise(err)
	case !seen.Mode().IsRegular():
		return nil, mend(fmt.Errorf("is no regular file (%v)", seen.Mode().Type()), adviceLock)
	}
	f, err := p.open(name, os.O_RDWR)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case errors.Is(err, fs.ErrPermission) && !errors.Is(err, syscall.EPERM): // which is no matter of the owner
		return nil, mend(err, adviceLock)
	case err != nil:
		return nil, p.advise(err)
	}
	info, err := f.Stat()
	if err != nil || !os.SameFile(seen, info) {
		f.Close()
		return nil, err
	}
	return f, nil
}

// createLock returns nil and nil if someone else was first.
func (p *seedFolder) createLock(name string, owner fs.FileInfo) (*os.File, error) {
	f, err := p.open(name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
	if errors.Is(err, fs.ErrExist) {
		return nil, nil
	}
	if err != nil {
		return nil, p.advise(err)
	}
	if err := ownLike(f, owner); err != nil {
		f.Close()
		_ = p.remove(name)
		return nil, p.advise(err)
	}
	return f, nil
}
