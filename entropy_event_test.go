package rand

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestEventInputTellsInstancesApart(t *testing.T) {
	w := newWorld(0)
	h := w.host()
	page := []uint64{7, 8, 9}
	h.clones.identity = func() int { return 4711 }
	h.clones.signals = []func() signal{func() signal { return signal{name: "test", memory: page, watch: []int{0}} }}
	words := func() (x []uint64) {
		b := h.eventInput([]byte{1, 2, 3})
		if !bytes.Equal(b[:3], []byte{1, 2, 3}) {
			t.Fatalf("what was there is not there any more: % x", b[:3])
		}
		for b = b[3:]; len(b) >= 8; b = b[8:] {
			x = append(x, binary.LittleEndian.Uint64(b))
		}
		return x
	}
	before := w.clock().UnixNano()
	x := words()
	if len(x) != 7 {
		t.Fatalf("%d words: %v", len(x), x)
	}
	if x[0] != 4711 || int64(x[1]) < before || int64(x[1]) > w.clock().UnixNano() || x[3] != w.counter {
		t.Errorf("PID, clock or counter are wrong: %v", x)
	}
	if diff := cmp.Diff(page, x[4:]); diff != "" {
		t.Errorf("what the signal's memory holds:\n%s", diff)
	}
	page[1] = 80
	if y := words(); y[5] != 80 || y[3] == x[3] || y[2] <= x[2] {
		t.Errorf("the second time: %v after %v", y, x)
	}
}

// After an event the kernel of a machine without a random instruction may give the
// clone's bytes for a while.
func TestReseedsAfterAnEventWithoutAnInstruction(t *testing.T) {
	tests := []struct {
		name  string
		cpu   bool
		stuck bool
		again int
	}{
		{"no instruction", false, false, 4},
		{"an instruction", true, false, 0},
		{"an instruction that is stuck", true, true, 4},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(0)
				if !tt.cpu {
					w.cpu = nil
				}
				w.stuck = tt.stuck
				h := w.host()
				r := newPool(h, 1)
				readN(t, r, 16)
				if w.seeded != 1 {
					t.Fatalf("%d seedings at first use", w.seeded)
				}
				h.clones.bump()
				readN(t, r, 16)
				if w.seeded != 2 {
					t.Fatalf("%d seedings with the event's", w.seeded)
				}
				event := time.Now()
				seedings := 0
				for _, due := range []time.Duration{time.Millisecond, 10 * time.Millisecond, 100 * time.Millisecond, time.Second} {
					for _, at := range []time.Duration{due * 9 / 10, due * 11 / 10} {
						time.Sleep(time.Until(event.Add(at)))
						w.counter += uint64(at)
						readN(t, r, 16)
						readN(t, r, 16)
						if at > due && tt.again > 0 {
							seedings++
						}
						if got := w.seeded - 2; got != seedings {
							t.Fatalf("%v after the event: %d seedings more, not %d", at, got, seedings)
						}
					}
				}
				time.Sleep(time.Hour)
				w.counter += 1e9
				readN(t, r, 16)
				if got := w.seeded - 2; got != tt.again {
					t.Errorf("%d seedings after the event's, not %d", got, tt.again)
				}
			})
		})
	}
}

func TestAFailingSystemGivesAnErrorAndNothingElse(t *testing.T) {
	broken := errors.New("broken")
	for _, size := range []int{16, 1024, 1025, 200 << 10} {
		for _, watched := range []bool{true, false} {
			for failing := range 6 {
				t.Run(fmt.Sprint(size, watched, failing), func(t *testing.T) {
					w := newWorld(0)
					w.cpu = nil
					h := w.host()
					if !watched {
						h = w.unwatched()
					}
					r := newPool(h, 1)
					calls, failed := 0, false
					h.system = readerFunc(func(b []byte) (int, error) {
						if calls++; calls > failing {
							failed = true
							return 0, broken
						}
						return w.Read(b)
					})
					b := bytes.Repeat([]byte{1}, size)
					n, err := r.Read(b)
					switch {
					case err == nil && n != size, err == nil && failing == 0:
						t.Errorf("%d, %v", n, err)
					case err != nil && (n != 0 || !errors.Is(err, ErrEntropy) || !errors.Is(err, broken)):
						t.Errorf("%d, %v", n, err)
					case err != nil && !bytes.Equal(b, make([]byte, size)):
						t.Error("something was left in the buffer")
					}
					h.system = w
					drawn := w.drawn["system"]
					readN(t, r, 16)
					if failed && err != nil && w.drawn["system"] == drawn {
						t.Error("after the error nothing fresh was drawn")
					}
				})
			}
		}
	}
}

func TestNoSaltWithoutEntropy(t *testing.T) {
	broken := errors.New("broken")
	for _, size := range []int{16, 1024, 1025, 5000} {
		for _, stuck := range []bool{false, true} {
			w := newWorld(0)
			h := w.host()
			r := newPool(h, 1)
			readN(t, r, 16)
			w.counter += ms
			if w.stuck = stuck; !stuck {
				h.random = nil
			}
			h.system = readerFunc(func([]byte) (int, error) { return 0, broken })
			b := bytes.Repeat([]byte{1}, size)
			if n, err := r.Read(b); n != 0 || !errors.Is(err, broken) || !bytes.Equal(b, make([]byte, size)) {
				t.Errorf("after a pause, Read of %d: %d, %v", size, n, err)
			}
			h.system = w
			drawn := w.drawn["system"]
			readN(t, r, 16)
			if w.drawn["system"] == drawn {
				t.Errorf("Read of %d: the next one had nothing fresh in it", size)
			}
		}
	}
}
