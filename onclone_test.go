package rand

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// hooked is a host whose one clone signal is word 0, and a channel of what OnClone tells.
func hooked(t *testing.T) (h *host, words []uint64, told chan uint64, stop func() bool) {
	t.Helper()
	words = make([]uint64, 1)
	h = newHost()
	h.clones = wordsWatch(words)
	told = make(chan uint64, 100)
	return h, words, told, h.clones.onClone(func(generation uint64) { told <- generation })
}

func wantTold(t *testing.T, told chan uint64, want uint64) {
	t.Helper()
	select {
	case got := <-told:
		if got != want {
			t.Errorf("told of generation %d, want %d", got, want)
		}
	case <-time.After(10 * time.Second):
		t.Fatalf("not told of generation %d", want)
	}
}

func TestOnCloneIsToldByAReadAGenerationAndThePoll(t *testing.T) {
	for name, look := range map[string]func(h *host){
		"a Read":       func(h *host) { newReaderOn(h).Read(make([]byte, 16)) },
		"a Generation": func(h *host) { h.clones.poll() },
		"the poll":     func(*host) {},
	} {
		t.Run(name, func(t *testing.T) {
			h, words, told, stop := hooked(t)
			defer stop()
			for i := range uint64(3) {
				atomic.AddUint64(&words[0], 1)
				look(h)
				wantTold(t, told, i+2)
			}
			time.Sleep(2 * hookPoll)
			if len(told) != 0 {
				t.Error("told twice of one event")
			}
		})
	}
}

func TestOnCloneIsToldOfAFork(t *testing.T) {
	var pid atomic.Int64
	w := noDetectors()
	w.identity = func() int { return int(pid.Load()) }
	told := make(chan uint64, 1)
	defer w.onClone(func(generation uint64) { told <- generation })()
	pid.Store(7)
	wantTold(t, told, 2)
}

func TestOnCloneStops(t *testing.T) {
	h, words, told, stop := hooked(t)
	if !stop() || stop() {
		t.Error("stop does not report whether it ended the registration")
	}
	atomic.AddUint64(&words[0], 1)
	h.clones.poll()
	time.Sleep(3 * hookPoll)
	if len(told) != 0 {
		t.Error("told after stop")
	}
	if h.clones.hooks.polling.Load() {
		t.Error("the detectors are looked at for nobody")
	}
	again := make(chan uint64, 1)
	defer h.clones.onClone(func(generation uint64) { again <- generation })()
	atomic.AddUint64(&words[0], 1)
	wantTold(t, again, 3)
}

// Many register, stop and read while the signal moves: each that stays is told of the
// last event.
func TestOnCloneUnderLoad(t *testing.T) {
	h, words, _, stop := hooked(t)
	defer stop()
	const hooks, events = 20, 50
	latest := make([]atomic.Uint64, hooks)
	var wg sync.WaitGroup
	for i := range hooks {
		wg.Go(func() {
			for range 10 {
				h.clones.onClone(func(uint64) {})()
			}
			h.clones.onClone(func(generation uint64) {
				for old := latest[i].Load(); old < generation && !latest[i].CompareAndSwap(old, generation); {
					old = latest[i].Load()
				}
			})
		})
	}
	wg.Wait()
	for range events {
		atomic.AddUint64(&words[0], 1)
		h.clones.poll()
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		missing := 0
		for i := range latest {
			if latest[i].Load() != events+1 {
				missing++
			}
		}
		if missing == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d of %d were not told of the last event", missing, hooks)
		}
	}
}
