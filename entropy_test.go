package rand

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// answers is an instruction that gives these words one after the other, and no more.
type answers struct {
	words []uint64
	none  int // at first it has none, so many times
	asked int
}

func (a *answers) random() (uint64, bool) {
	a.asked++
	if a.none > 0 || len(a.words) == 0 {
		a.none--
		return 0, false
	}
	x := a.words[0]
	a.words = a.words[1:]
	return x, true
}

func TestDrawRefusesWhatAStuckInstructionGives(t *testing.T) {
	const ones = ^uint64(0)
	tests := []struct {
		name  string
		in    answers
		ok    bool
		asked int
	}{
		{"two words", answers{words: []uint64{5, 6}}, true, 2},
		{"zeros", answers{words: []uint64{0, 0}}, false, 1},
		{"ones", answers{words: []uint64{ones, ones}}, false, 1},
		{"the second zero", answers{words: []uint64{5, 0}}, false, 2},
		{"the second all ones", answers{words: []uint64{5, ones}}, false, 2},
		{"the same again", answers{words: []uint64{5, 5}}, false, 2},
		{"late, but in time", answers{words: []uint64{5, 6}, none: 9}, true, 11},
		{"too late", answers{words: []uint64{5, 6}, none: 10}, false, 10},
		{"never", answers{}, false, 10},
		{"the second never", answers{words: []uint64{5}}, false, 11},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := tt.in
			h := &host{random: a.random}
			x, y, ok := h.draw()
			if ok != tt.ok || a.asked != tt.asked {
				t.Errorf("ok: %v after %d questions, not %v after %d", ok, a.asked, tt.ok, tt.asked)
			}
			if ok && (x != 5 || y != 6) {
				t.Errorf("%d, %d", x, y)
			}
		})
	}
	if _, _, ok := new(host).draw(); ok {
		t.Error("without an instruction it says that it has drawn")
	}
	w := newWorld(0)
	w.stuck = true
	if b := w.host().cpuInput(nil); len(b) != 0 {
		t.Errorf("%d bytes of a stuck instruction go into a seeding", len(b))
	}
	if b := newWorld(0).host().cpuInput(nil); len(b) != 32 || len(blocksOf(b)) != 2 || blocksOf(b)[0] == blocksOf(b)[1] {
		t.Errorf("a seeding has %d bytes of the instruction", len(b))
	}
}

func TestReadEntropy(t *testing.T) {
	broken := errors.New("broken")
	// A step is what the source says to one call, the last one for ever.
	type step struct {
		n   int
		err error
	}
	empty := func(n int) (s []step) {
		for range n {
			s = append(s, step{})
		}
		return s
	}
	tests := []struct {
		name  string
		steps []step
		want  error // nil: 48 bytes
		calls int
	}{
		{"all at once", []step{{48, nil}}, nil, 1},
		{"all, and an error", []step{{48, broken}}, nil, 1},
		{"all, and the end", []step{{48, io.EOF}}, nil, 1},
		{"in pieces", []step{{1, nil}, {0, nil}, {46, nil}, {1, nil}}, nil, 4},
		{"at its end", []step{{0, io.EOF}}, io.EOF, 1},
		{"ends on the way", []step{{47, nil}, {0, io.EOF}}, io.ErrUnexpectedEOF, 2},
		{"ends with the last bytes", []step{{47, io.EOF}}, io.ErrUnexpectedEOF, 1},
		{"fails", []step{{0, broken}}, broken, 1},
		{"fails on the way", []step{{47, broken}}, broken, 1},
		{"nothing 99 times", append(empty(99), step{48, nil}), nil, 100},
		{"nothing a hundred times", empty(100), io.ErrNoProgress, 100},
		{"nothing 99 times, twice", append(append(empty(99), step{1, nil}), append(empty(99), step{47, nil})...), nil, 200},
		{"an error after nothing 99 times", append(empty(99), step{0, broken}), broken, 100},
		{"more than there is room for", []step{{49, nil}}, ErrEntropy, 1},
		{"less than nothing", []step{{-1, nil}}, ErrEntropy, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			calls := 0
			source := readerFunc(func(b []byte) (int, error) {
				s := tt.steps[min(calls, len(tt.steps)-1)]
				calls++
				for i := range min(max(s.n, 0), len(b)) {
					b[i] = 1
				}
				return s.n, s.err
			})
			b := make([]byte, 48)
			err := readEntropy(source, b)
			if calls != tt.calls {
				t.Errorf("%d calls, not %d", calls, tt.calls)
			}
			if tt.want == nil {
				if err != nil || !bytes.Equal(b, bytes.Repeat([]byte{1}, 48)) {
					t.Errorf("%v, % x", err, b)
				}
			} else if !errors.Is(err, tt.want) || !errors.Is(err, ErrEntropy) {
				t.Errorf("%v, not %v", err, tt.want)
			}
		})
	}
}

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
	before := time.Now().UnixNano()
	x := words()
	if len(x) != 7 {
		t.Fatalf("%d words: %v", len(x), x)
	}
	if x[0] != 4711 || int64(x[1]) < before || int64(x[1]) > time.Now().UnixNano() || x[3] != w.counter {
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
				r := newShardedReader(h, 1)
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
					r := newShardedReader(h, 1)
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
					seeded := w.seeded
					readN(t, r, 16)
					if failed && err != nil && w.seeded == seeded {
						t.Error("after the error no state was seeded")
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
			r := newShardedReader(h, 1)
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
			seeded := w.seeded
			readN(t, r, 16)
			if w.seeded == seeded {
				t.Errorf("Read of %d: the next one did not seed the state", size)
			}
		}
	}
}
