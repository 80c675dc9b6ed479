package rand

import (
	"runtime"
	"sync/atomic"
	"time"
)

// A forkLock is a lock that says when it was taken: its word is the number of
// forks that its holder knew of, plus one. A fork copies only the thread that
// asks for it, so whoever finds the lock held from before a fork waits for nobody.
type forkLock struct{ word atomic.Uint64 }

func (l *forkLock) tryLock(forks uint64) bool { return l.word.CompareAndSwap(0, forks+1) }

func (l *forkLock) unlock() { l.word.Store(0) }

// abandoned says whether the holder stayed behind in the parent.
func (l *forkLock) abandoned(forks uint64) bool {
	w := l.word.Load()
	return w != 0 && w != forks+1
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
