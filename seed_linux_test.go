package rand

import "testing"

// TestInputsOfASeedingFitIntoTheirRoom counts all that can go into one: with every signal
// of Linux, a chain, a salt and the random instruction. More than the room panics.
func TestInputsOfASeedingFitIntoTheirRoom(t *testing.T) {
	withSignals := func(words ...int) int {
		h := newWorld(0).host()
		for _, n := range words {
			h.clones.signals = append(h.clones.signals, func() signal { return signal{name: "test", memory: make([]uint64, n)} })
		}
		s := newState(newConfig(h), 0)
		s.buffer.startMixing()
		b, random := s.extraInput(nil, (&epoch{id: 1}).chainOn(nil), true, true)
		if !random {
			t.Error("the random instruction gave nothing")
		}
		return len(b)
	}
	all := []int{vmclockWords, 1, signalFileSize / 8}
	if len(all) != len(signals) {
		t.Errorf("%d signals are counted, and there are %d", len(all), len(signals))
	}
	n := withSignals(all...)
	if want := blockLen + seedLen + cpuInputLen + 4*8 + 8*(vmclockWords+1) + signalFileSize; n != want {
		t.Errorf("the inputs have %d bytes, not %d", n, want)
	}
	withSignals(append(all, (maxExtra-n)/8)...) // all of the room
	defer func() {
		if recover() == nil {
			t.Error("one word more than the room holds did not panic")
		}
	}()
	withSignals(append(all, (maxExtra-n)/8+1)...)
}
