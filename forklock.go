package rand

import (
	"runtime"
	"sync/atomic"
	"time"
)

// A forkLock is a lock that says when it was taken. A fork copies only the thread
// that asks for it, so whoever finds the lock held from before a fork waits for nobody.
type forkLock struct {
	_     [0]atomic.Uint64 // aligns the words
	held  uint64           // 1 while it is
	forks uint64           // how many forks its last holder knew of
}

// tryLock notes the forks behind the locking: the loads that find them would
// hold it up. A holder that a fork stops in between has left an older count there,
// which is as good. One that lives is in between for a moment, and only with its
// first lock after a fork; who takes it for abandoned then goes on with a state
// of its own.
func (l *forkLock) tryLock(w *cloneWatch) bool {
	if !atomic.CompareAndSwapUint64(&l.held, 0, 1) {
		return false
	}
	if forks := w.forks(); l.forks != forks {
		atomic.StoreUint64(&l.forks, forks)
	}
	return true
}

func (l *forkLock) unlock() { storeRelease(&l.held, 0) }

// abandoned says whether the holder stayed behind in the parent.
func (l *forkLock) abandoned(forks uint64) bool {
	return atomic.LoadUint64(&l.held) != 0 && atomic.LoadUint64(&l.forks) != forks
}

// backOff waits for a holder that lives. It parks on no lock, so that after a fork
// every goroutine gets to look at the fork detectors again.
func backOff(try int) {
	if try < 16 {
		runtime.Gosched()
	} else {
		time.Sleep(50 * time.Microsecond)
	}
}
