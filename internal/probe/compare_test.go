package probe

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

// guest is a log in memory of its own, as a virtual machine has it.
type guest struct {
	region *Region
	log    *Log
	flight []byte // what the read under way fills
}

var oneLog = []Spec{{Name: "generator", Chunks: 4, Records: 4, Bytes: 4 << 10}}

func newGuest(t *testing.T) *guest {
	t.Helper()
	r, err := New(make([]byte, Size(oneLog)), oneLog)
	if err != nil {
		t.Fatal(err)
	}
	r.SetRate(1e9)
	r.SetCounterUsed()
	return &guest{region: r, log: r.Logs[0]}
}

// clone is the guest restored from a snapshot taken now.
func (g *guest) clone(t *testing.T) *guest {
	c := newGuest(t)
	copy(c.region.mem, g.region.mem)
	copy(c.log.worth, g.log.worth)
	copy(c.log.recent, g.log.recent)
	c.log.now, c.log.before, c.log.count, c.log.used = g.log.now, g.log.before, g.log.count, g.log.used
	c.log.last, c.log.gap = g.log.last, g.log.gap
	data := c.log.chunk(c.log.now)[chunkHeader+oneLog[0].Records*recordSize:]
	c.flight = data[c.log.used-len(g.flight):][:len(g.flight)]
	return c
}

func (g *guest) image(t *testing.T) *Image {
	t.Helper()
	img, err := Parse(bytes.Clone(g.region.mem))
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// read makes one read of n bytes that lasts from begin to end.
func (g *guest) read(begin, end uint64, n int, value string) {
	fill(g.begin(begin, n), value)
	g.log.End(end)
}

func (g *guest) begin(counter uint64, n int) []byte {
	g.flight = g.log.Begin(counter, n)
	return g.flight
}

// fill makes each block another one, by its value and its number.
func fill(b []byte, value string) {
	for i := range len(b) / 16 {
		copy(b[i*16:], fmt.Sprintf("%-12s%4d", value, i))
	}
}

// after runs what the two clones do after the restore; before is done in both.
func after(t *testing.T, before func(*guest), a, b func(*guest)) (Finding, error) {
	t.Helper()
	g := newGuest(t)
	before(g)
	c, d := g.clone(t), g.clone(t)
	a(c)
	b(d)
	found, err := Comparison{Before: g.image(t), Clones: []*Image{c.image(t), d.image(t)}}.Run()
	if err != nil {
		return Finding{}, err
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
			g.log.End(counter)
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
		"but not what was delivered before": {
			under(32, "same"),
			func(g *guest) { fill(g.flight, "same"); g.log.End(1000) },
			func(g *guest) { fill(g.flight, "same"); g.log.End(2000) }, 1, 1,
		},
		"a read that had its last reading before the restore": {
			under(16, "same"),
			func(g *guest) { g.log.End(50); g.read(1500, 1510, 16, "a") },
			func(g *guest) { g.log.End(50); g.read(2000, 2010, 16, "b") }, 1, 0,
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
			if got.Reads != test.reads || got.Equal != test.equal {
				t.Errorf("%d reads, %d equal blocks; want %d and %d", got.Reads, got.Equal, test.reads, test.equal)
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
	if want := []time.Duration{5 * time.Millisecond, 2 * time.Millisecond}; !slices.Equal(got.Pauses, want) {
		t.Errorf("%v, want %v", got.Pauses, want)
	}
	if want := []time.Duration{time.Microsecond, time.Microsecond}; !slices.Equal(got.First, want) {
		t.Errorf("the first reads took %v, want %v", got.First, want)
	}
}

func TestCompareSaysThatTheCounterWentBack(t *testing.T) {
	got, err := after(t,
		func(g *guest) { g.read(9_000_000, 9_001_000, 16, "one") },
		func(g *guest) { g.read(4_000_000, 4_001_000, 16, "a") },
		func(g *guest) { g.read(7_000_000, 7_001_000, 16, "b") })
	if err != nil {
		t.Fatal(err)
	}
	if want := []time.Duration{-5 * time.Millisecond, -2 * time.Millisecond}; !slices.Equal(got.Pauses, want) {
		t.Errorf("%v, want %v", got.Pauses, want)
	}
}

func TestCompareRefusesWhatItCannotJudge(t *testing.T) {
	nothing := func(*guest) {}
	many := func(from, reads uint64) func(*guest) {
		return func(g *guest) {
			for i := range reads {
				g.read(from+i*10, from+i*10+5, 16, "x")
			}
		}
	}
	for name, test := range map[string]struct {
		before, a, b func(*guest)
		want         error // or any
	}{
		"the counters never differ":                {nothing, many(0, 40), many(0, 50), ErrNoRestore},
		"the reads at the restore are overwritten": {nothing, many(1000, 40), many(2000, 40), ErrNotKept},
		"no read is kept in both":                  {nothing, many(1000, 40), many(2000, 400), ErrNotKept},
		"the counters differ later than the snapshot": {
			func(g *guest) { g.read(0, 1, 16, "one") },
			func(g *guest) { g.read(10, 20, 16, "x"); g.read(30, 40, 16, "y"); g.read(1000, 1010, 16, "a") },
			func(g *guest) { g.read(10, 20, 16, "x"); g.read(30, 40, 16, "y"); g.read(2000, 2010, 16, "b") }, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := after(t, test.before, test.a, test.b)
			if err == nil || test.want != nil && !errors.Is(err, test.want) {
				t.Errorf("%+v, %v; want %v", got, err, test.want)
			}
		})
	}
}

func TestCompareRefusesClonesOfTwoSnapshots(t *testing.T) {
	g := newGuest(t)
	g.read(0, 10, 16, "one")
	c := g.clone(t)
	for i := range uint64(10) {
		g.read(100+i*10, 105+i*10, 16, "g")
	}
	d := g.clone(t) // of a later snapshot
	c.read(2000, 2010, 16, "c")
	for i, x := range []*guest{d, g} {
		x.read(5000+uint64(i), 5010+uint64(i), 16, "x")
	}
	_, err := Comparison{Clones: []*Image{c.image(t), d.image(t), g.image(t)}}.Run()
	if !errors.Is(err, ErrSeveral) {
		t.Errorf("%v, want %v", err, ErrSeveral)
	}
	if _, err := (Comparison{Clones: []*Image{d.image(t), g.image(t)}}).Run(); err != nil {
		t.Errorf("the two of the later: %v", err)
	}
}

func TestWithoutAnImageTheReadUnderWayDoesNotCount(t *testing.T) {
	for name, test := range map[string]struct {
		begin        [2]uint64
		reads, equal int
	}{
		"under way":               {[2]uint64{40, 40}, 1, 0},
		"begun after the restore": {[2]uint64{1000, 2000}, 2, 1},
	} {
		var clones []*Image
		for _, begin := range test.begin {
			g := newGuest(t)
			g.read(0, 10, 16, "one")
			g.read(begin, 3000+begin, 16, "same")
			g.read(9000+begin, 9000+2*begin, 16, fmt.Sprint(clones))
			clones = append(clones, g.image(t))
		}
		if test.begin[0] == test.begin[1] {
			clones[1].Logs[0].segments[0].records[1].End++
		}
		found, err := Comparison{Clones: clones}.Run()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if found[0].Reads != test.reads || found[0].Equal != test.equal {
			t.Errorf("%s: %d reads, %d equal; want %d and %d", name, found[0].Reads, found[0].Equal, test.reads, test.equal)
		}
	}
}

func TestCompareCountsApartWhatWasReadBeforeTheSplit(t *testing.T) {
	g := newGuest(t)
	g.read(0, 10, 16, "one")
	var clones []*Image
	for _, values := range [][]string{{"x", "y", "z"}, {"x", "Y", "y"}} {
		c := g.clone(t)
		for i, v := range values {
			at := uint64(1e6 * (1 + i + len(clones)))
			c.read(at, at+10, 16, v)
		}
		clones = append(clones, c.image(t))
	}
	// x is early in both; y is early in one, and again after the split in the other.
	found, err := Comparison{Clones: clones, Split: []uint64{3e6, 4e6}}.Run()
	if err != nil {
		t.Fatal(err)
	}
	f := found[0]
	if f.Reads != 1 || f.Equal != 1 || f.Early != 2 || f.EarlyEqual != 1 || f.Until != 2*time.Millisecond-10 {
		t.Errorf("%+v", f)
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
		mem := make([]byte, Size(megabyteLog))
		r, err := New(mem, megabyteLog)
		if err != nil {
			t.Fatal(err)
		}
		b := r.Logs[0].Begin(10, test.size)
		fill(b[:test.delivered], "old")
		before, _ := Parse(bytes.Clone(mem))
		fill(b[test.delivered:], "new")
		r.Logs[0].End(100)
		after, _ := Parse(mem)
		rec, ok := after.Logs[0].Record(0)
		if got := 16 * settled(&before.Logs[0], 0, rec, false); !ok || got != test.want {
			t.Errorf("%d of %d bytes delivered: %d do not count; want %d", test.delivered, test.size, got, test.want)
		}
	}
}

var megabyteLog = []Spec{{Name: "generator", Chunks: 4, Records: 16, Bytes: 1 << 20}}
