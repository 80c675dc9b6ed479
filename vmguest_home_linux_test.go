//go:build amd64 || arm64

package rand

import (
	"os"
	"runtime"
	"slices"
	"time"
)

// vmNewHome starts a goroutine whose home shard is none of taken, tells it which it has, and returns it. The
// shard knows the last reading of the counter that a Read looked at, which the host has to know of the Read that a
// snapshot fell into. Where the counter is not used there is none, and the shard is nil.
func vmNewHome(taken []*state, run func(home *state)) *state {
	for {
		found := make(chan *state)
		go func() {
			runtime.LockOSThread()
			vmGrowStack()
			home := vmHome()
			found <- home
			if home != nil && slices.Contains(taken, home) {
				select {} // keeps the place of its stack from the next
			}
			run(home)
		}()
		if home := <-found; home == nil || !slices.Contains(taken, home) {
			return home
		}
	}
}

// vmHome is the shard that serves this goroutine as long as its stack stays where it is.
func vmHome() *state {
	var b [16]byte
	Read(b[:])
	if vmCounter() != "" {
		return nil
	}
	for {
		before := map[*state]uint64{}
		for _, s := range vmShards() {
			before[s] = s.window.last
		}
		Read(b[:])
		for _, s := range vmShards() {
			if s.window.last != before[s] {
				return s
			}
		}
	}
}

func vmShards() (all []*state) {
	shards := defaultReader.shards.Load().states
	for i := range shards {
		if s := shards[i].Load(); s != nil {
			all = append(all, s)
		}
	}
	return all
}

// vmGrowStack makes the stack larger than all that a Read needs, so that it does not move later; the host
// has switched off its shrinking.
//
//go:noinline
func vmGrowStack() byte {
	var b [128 << 10]byte
	for i := range b {
		b[i] = byte(i)
	}
	return b[os.Getpid()]
}

// vmCounter says why the counter is not used, "" where it is. Until the detector has decided its answer is
// no, and says nothing.
func vmCounter() (why string) {
	p := thisHost().pause
	for range 1000 {
		p.usable()
		if l := p.limits.Load(); l != nil {
			return l.why
		}
		time.Sleep(time.Millisecond)
	}
	return "not decided within a second"
}
