package main

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/clonerand/rand/internal/vmring"
)

// guest is a log in memory of its own, as a virtual machine has it.
type guest struct {
	mem    []byte
	log    *vmring.Log
	flight []byte // what the read under way fills
	total  int    // bytes read
}

var oneLog = []vmring.Spec{{Name: "generator", Records: 16, Bytes: 1 << 16}}

func newGuest(t *testing.T) *guest {
	t.Helper()
	g := &guest{mem: make([]byte, vmring.Size(oneLog))}
	r, err := vmring.New(g.mem, oneLog)
	if err != nil {
		t.Fatal(err)
	}
	r.SetRate(1e9)
	r.SetCounterUsed()
	g.log = r.Logs[0]
	return g
}

// clone is the guest restored from a snapshot taken now.
func (g *guest) clone(t *testing.T) *guest {
	c := newGuest(t)
	copy(c.mem, g.mem)
	c.total = g.total
	c.flight = c.mem[len(c.mem)-oneLog[0].Bytes+c.total-len(g.flight):][:len(g.flight)]
	return c
}

func (g *guest) image(t *testing.T) *vmring.Image {
	t.Helper()
	img, err := vmring.Parse(bytes.Clone(g.mem))
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// read makes one read of n bytes that lasts from begin to end.
func (g *guest) read(begin, end uint64, n int, value string) {
	fill(g.begin(begin, n), value)
	g.log.End(end, 0)
}

func (g *guest) begin(counter uint64, n int) []byte {
	g.flight = g.log.Begin(counter, n)
	g.total += n
	return g.flight
}

// fill makes each block another one, by its value and its number.
func fill(b []byte, value string) {
	for i := range len(b) / 16 {
		copy(b[i*16:], fmt.Sprintf("%-12s%4d", value, i))
	}
}

// after runs what the two clones do after the restore; before is done in both.
func after(t *testing.T, before func(*guest), a, b func(*guest)) (finding, error) {
	t.Helper()
	g := newGuest(t)
	before(g)
	c, d := g.clone(t), g.clone(t)
	a(c)
	b(d)
	found, err := compare(g.image(t), []*vmring.Image{c.image(t), d.image(t)})
	if err != nil {
		return finding{}, err
	}
	return found[0], nil
}

func TestCompareCountsTheReadsAfterTheRestore(t *testing.T) {
	twoReads := func(g *guest) {
		g.read(0, 10, 16, "one")
		g.read(20, 30, 16, "two")
	}
	under := func(n int, written string) func(*guest) {
		return func(g *guest) {
			twoReads(g)
			fill(g.begin(40, n)[:n/2], written)
		}
	}
	// end completes the read under way with these values, and makes one more read.
	end := func(counter uint64, values ...string) func(*guest) {
		return func(g *guest) {
			n := len(g.flight) / len(values)
			for i, v := range values {
				fill(g.flight[i*n:][:n], v)
			}
			g.log.End(counter, counter-1)
			g.read(counter+1000, counter+1010, 16, fmt.Sprint("then ", counter))
		}
	}
	large := 2 * largest

	for name, test := range map[string]struct {
		before, a, b func(*guest)
		reads, equal int
	}{
		"what was read before is in both and does not count": {
			twoReads,
			func(g *guest) { g.read(1000, 1010, 16, "a") },
			func(g *guest) { g.read(2000, 2010, 16, "b") }, 1, 0,
		},
		"equal blocks": {
			twoReads,
			func(g *guest) { g.read(1000, 1010, 16, "same"); g.read(1020, 1030, 16, "a") },
			func(g *guest) { g.read(2000, 2010, 16, "same"); g.read(2020, 2030, 16, "b") }, 2, 1,
		},
		"equal blocks in other reads": {
			twoReads,
			func(g *guest) { g.read(1000, 1010, 16, "x"); g.read(1020, 1030, 16, "a") },
			func(g *guest) { g.read(2000, 2010, 16, "b"); g.read(2020, 2030, 16, "x") }, 2, 1,
		},
		"the one read in flight counts": {
			under(16, ""), end(1000, "same"), end(2000, "same"), 2, 1,
		},
		"also when its bytes were there but not yet passed": {
			under(32, "same"), end(1000, "same"), end(2000, "same"), 2, 2,
		},
		"a read in flight without a reading of its own: what was delivered before does not count": {
			under(32, "same"),
			func(g *guest) { fill(g.flight, "same"); g.log.End(1000, 0) },
			func(g *guest) { fill(g.flight, "same"); g.log.End(2000, 0) }, 1, 1,
		},
		"unless it had its last reading before the restore": {
			under(16, "same"),
			func(g *guest) { g.log.End(1000, 50); g.read(1500, 1510, 16, "a") },
			func(g *guest) { g.log.End(1900, 50); g.read(2000, 2010, 16, "b") }, 1, 0,
		},
		"a large read in flight: what was delivered before does not count": {
			under(large, "old"), end(1000, "old", "a"), end(2000, "old", "b"), 2, 0,
		},
		"a large read in flight: what came after counts": {
			under(large, "old"), end(1000, "old", "same"), end(2000, "old", "same"), 2, large / 2 / 16,
		},
		"a large read in flight: what was made anew counts": {
			under(large, "old"), end(1000, "same", "a"), end(2000, "same", "b"), 2, large / 2 / 16,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := after(t, test.before, test.a, test.b)
			if err != nil {
				t.Fatal(err)
			}
			if got.reads != test.reads || got.equal != test.equal {
				t.Errorf("%d reads, %d equal blocks; want %d and %d", got.reads, got.equal, test.reads, test.equal)
			}
		})
	}
}

func TestCompareSaysHowLongThePauseWas(t *testing.T) {
	got, err := after(t,
		func(g *guest) { g.read(0, 1000, 16, "one") },
		func(g *guest) { g.read(5_000_000, 5_001_000, 16, "a") },
		func(g *guest) { g.read(2_000_000, 2_001_000, 16, "b") })
	if err != nil {
		t.Fatal(err)
	}
	if got.shortest != 2*time.Millisecond || got.longest != 5*time.Millisecond {
		t.Errorf("%v to %v", got.shortest, got.longest)
	}
}

func TestCompareRefusesWhatItCanNotJudge(t *testing.T) {
	nothing := func(*guest) {}
	many := func(from uint64) func(*guest) {
		return func(g *guest) {
			for i := range uint64(40) {
				g.read(from+i*10, from+i*10+5, 16, "x")
			}
		}
	}
	for name, test := range map[string]struct{ before, a, b func(*guest) }{
		"the counters never differ":                {nothing, many(0), many(0)},
		"the reads at the restore are overwritten": {nothing, many(1000), many(2000)},
		"the counters differ later than the snapshot": {
			func(g *guest) { g.read(0, 1, 16, "one") },
			func(g *guest) { g.read(10, 20, 16, "x"); g.read(30, 40, 16, "y"); g.read(1000, 1010, 16, "a") },
			func(g *guest) { g.read(10, 20, 16, "x"); g.read(30, 40, 16, "y"); g.read(2000, 2010, 16, "b") },
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := after(t, test.before, test.a, test.b); err == nil {
				t.Errorf("judged: %+v", got)
			}
		})
	}
}

func TestWithoutCounterWhatIsUnderWayDoesNotCount(t *testing.T) {
	for _, test := range []struct{ size, delivered, want int }{
		{size: 1024, delivered: 0, want: 1024},
		{size: 1 << 20, delivered: 0, want: generate},
		{size: 1 << 20, delivered: 16, want: generate},
		{size: 1 << 20, delivered: generate, want: 2 * generate},
		{size: 1<<20 - 16, delivered: 1<<20 - 32, want: 1<<20 - 16},
	} {
		mem := make([]byte, vmring.Size(megabyteLog))
		r, err := vmring.New(mem, megabyteLog)
		if err != nil {
			t.Fatal(err)
		}
		b := r.Logs[0].Begin(10, test.size)
		fill(b[:test.delivered], "old")
		before, _ := vmring.Parse(bytes.Clone(mem))
		fill(b[test.delivered:], "new")
		r.Logs[0].End(100, 0)
		after, _ := vmring.Parse(mem)
		rec, err := after.Logs[0].Record(0)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := settled(&before.Logs[0], rec, false); got != test.want || err != nil {
			t.Errorf("%d of %d bytes delivered: %d do not count, %v; want %d", test.delivered, test.size, got, err, test.want)
		}
	}
}

var megabyteLog = []vmring.Spec{{Name: "generator", Records: 16, Bytes: 1 << 20}}
