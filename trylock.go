package rand

import (
	"runtime"
	"sync/atomic"
	"time"
)

// A tryLock is a lock that nobody waits in. A fork may leave one behind that is held
// for ever: it belongs to a state that the child does not use, see pool.
type tryLock struct {
	_    [0]atomic.Uint64 // aligns the word
	held uint64           // 0 while it is free
}

func (l *tryLock) tryLock() bool { return atomic.CompareAndSwapUint64(&l.held, 0, 1) }

// tryLockAfter is tryLock by who knows of so many forks. A lock that is held since before the
// last of them counts as free: who holds it was left behind in the parent.
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
