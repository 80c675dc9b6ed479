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
	forks uint64           // how many forks its last holder knew of, or lockGone
}

// lockGone is the count of a lock that was taken for abandoned: nobody gets it any more.
const lockGone = ^uint64(0)

// tryLock notes the forks behind the locking, which the loads that find them would
// hold up. In between the holder looks like one that a fork has left behind: who
// changes the count first has it, the holder or the one who takes its place.
func (l *forkLock) tryLock(w *cloneWatch) bool {
	if !atomic.CompareAndSwapUint64(&l.held, 0, 1) {
		return false
	}
	noted, forks := atomic.LoadUint64(&l.forks), w.forks()
	return noted == forks || noted != lockGone && atomic.CompareAndSwapUint64(&l.forks, noted, forks)
}

func (l *forkLock) unlock() { storeRelease(&l.held, 0) }

// abandoned says whether the holder stayed behind in the parent: it knew of fewer
// forks. Then nobody will get this lock any more, and what it guards is to be replaced.
func (l *forkLock) abandoned(forks uint64) bool {
	if atomic.LoadUint64(&l.held) == 0 {
		return false
	}
	noted := atomic.LoadUint64(&l.forks)
	return noted == lockGone || noted < forks && atomic.CompareAndSwapUint64(&l.forks, noted, lockGone)
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
