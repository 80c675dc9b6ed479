package rand

import (
	"runtime"
	"sync/atomic"
	"time"
)

// A forkLock is a lock that says when it was taken: its word is the number of
// forks that its holder knew of, plus one. A fork copies only the thread that
// asks for it, so whoever finds the lock held from before a fork waits for nobody.
type forkLock struct {
	_    [0]atomic.Uint64 // aligns word
	word uint64
}

func (l *forkLock) tryLock(forks uint64) bool {
	return atomic.CompareAndSwapUint64(&l.word, 0, forks+1)
}

func (l *forkLock) unlock() { storeRelease(&l.word, 0) }

// abandoned says whether the holder stayed behind in the parent.
func (l *forkLock) abandoned(forks uint64) bool {
	w := atomic.LoadUint64(&l.word)
	return w != 0 && w != forks+1
}

// freeAbandoned opens a lock that was abandoned. It is for locks that guard nothing
// in memory; what a holder may have left half changed is replaced instead.
func (l *forkLock) freeAbandoned(forks uint64) {
	if w := atomic.LoadUint64(&l.word); w != 0 && w != forks+1 {
		atomic.CompareAndSwapUint64(&l.word, w, 0)
	}
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
