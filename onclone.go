package rand

import (
	"slices"
	"sync/atomic"
	"time"
)

// hookPoll is the time between two looks at the detectors while somebody waits for a clone.
const hookPoll = 100 * time.Millisecond

// OnClone arranges to call f in a goroutine of its own whenever [Generation] has moved:
// after a fork or a clone signal, or where the cycle counter was set back. f gets the new
// number. Any Read notices these, and so do [Generation] and a look every 100 ms while a
// function is registered. A pause alone does not call f. Two calls of f may run at the
// same time.
//
// f drops what must not live on in a clone: connection pools, tickets, caches, nonces.
// In a forked child it is called as far as the Go runtime works there, see docs/fork.md.
//
// stop ends the registration, and reports whether there still was one. What is noticed
// after it has returned does not call f. It does not wait for calls of f that are under
// way. OnClone panics if f is nil.
func OnClone(f func(generation uint64)) (stop func() bool) { return thisHost.clones.onClone(f) }

// A cloneHook is a function that waits for a clone.
type cloneHook struct {
	f    func(generation uint64)
	told atomic.Uint64 // the latest number that f was called with, or that was there before it; or stopped
}

// stopped is a value of told above any number. It keeps those who have found the hook on
// an old list from calling it.
const stopped = ^uint64(0)

// cloneHooks is the hooks of a cloneWatch. It has no lock, for the sake of forks.
type cloneHooks struct {
	list atomic.Pointer[[]*cloneHook] // immutable
}

func (w *cloneWatch) onClone(f func(generation uint64)) (stop func() bool) {
	if f == nil {
		panic("clonerand: OnClone of a nil function")
	}
	h := &cloneHook{f: f}
	h.told.Store(w.current().number)
	w.hooks.change(func(list []*cloneHook) []*cloneHook { return append(list, h) })
	h.tell(w.current().number) // it may have moved before h was on the list
	w.pollFor(h)
	return func() bool {
		if h.told.Swap(stopped) == stopped {
			return false
		}
		w.hooks.change(func(list []*cloneHook) []*cloneHook {
			return slices.DeleteFunc(list, func(other *cloneHook) bool { return other == h })
		})
		return true
	}
}

// change swaps in what next makes of a copy of the list.
func (h *cloneHooks) change(next func(list []*cloneHook) []*cloneHook) {
	for {
		old := h.list.Load()
		list := next(append([]*cloneHook(nil), h.all()...))
		if h.list.CompareAndSwap(old, &list) {
			return
		}
	}
}

func (h *cloneHooks) all() []*cloneHook {
	if list := h.list.Load(); list != nil {
		return *list
	}
	return nil
}

// tell calls the hooks with a number that is new.
func (h *cloneHooks) tell(number uint64) {
	for _, hook := range h.all() {
		hook.tell(number)
	}
}

func (h *cloneHook) tell(number uint64) {
	for told := h.told.Load(); told < number; told = h.told.Load() {
		if h.told.CompareAndSwap(told, number) {
			go h.f(number)
			return
		}
	}
}

// pollFor looks at the detectors every hookPoll until h is stopped. Each hook has a timer of
// its own, and no goroutine: one that was started in a bubble of testing/synctest would have to
// end with the bubble, and would then be missing to the hooks of others. All timers end at the
// same times, so that the process wakes up as often as for one.
func (w *cloneWatch) pollFor(h *cloneHook) {
	time.AfterFunc(hookPoll-time.Duration(time.Now().UnixNano())%hookPoll, func() {
		if h.told.Load() == stopped {
			return
		}
		w.pollID()
		w.poll()
		w.pollFor(h)
	})
}
