package rand

import (
	"runtime"
	"sync/atomic"
	"time"
)

// A tryLock is a lock that is tried, not waited for. A fork may leave one held for ever;
// then it belongs to a state that the child does not use, see pool.
type tryLock struct {
	_    [0]atomic.Uint64 // aligns the word
	held uint64           // 0 while it is free
}

func (l *tryLock) tryLock() bool { return atomic.CompareAndSwapUint64(&l.held, 0, 1) }

// tryLockAfter is tryLock for a caller that knows of so many forks. A lock held since before
// the last of them counts as free: its holder was left behind in the parent.
func (l *tryLock) tryLockAfter(forks uint64) bool {
	held := atomic.LoadUint64(&l.held)
	return held != forks+1 && atomic.CompareAndSwapUint64(&l.held, held, forks+1)
}

func (l *tryLock) unlock() { storeRelease(&l.held, 0) }

// backOff waits a little for another goroutine. It parks on no lock, so that after a
// fork every goroutine looks at the fork detectors again.
func backOff(try int) {
	if try < 16 {
		runtime.Gosched()
	} else {
		time.Sleep(50 * time.Microsecond)
	}
}
