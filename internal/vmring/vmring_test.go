package vmring

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fill writes reads of the given sizes, each of its own byte value, counter 10 ticks a read.
func fill(l *Log, sizes ...int) {
	for i, n := range sizes {
		copy(l.Begin(uint64(i*10), n), bytes.Repeat([]byte{byte(i + 1)}, n))
		l.End(uint64(i*10+5), uint64(i*10+4))
	}
}

func region(t *testing.T, specs ...Spec) ([]byte, *Region) {
	t.Helper()
	mem := make([]byte, Size(specs))
	r, err := New(mem, specs)
	if err != nil {
		t.Fatal(err)
	}
	return mem, r
}

func TestImageReadsWhatTheGuestWrote(t *testing.T) {
	mem, r := region(t, Spec{"one", 8, 64}, Spec{"two", 4, 32})
	r.SetRate(1e9)
	r.SetGeneration(7)
	fill(r.Logs[0], 16, 32)
	fill(r.Logs[1], 16)
	r.Logs[1].Begin(99, 16)

	img, err := Parse(mem)
	if err != nil {
		t.Fatal(err)
	}
	if img.Rate != 1e9 || img.Generation != 7 || len(img.Logs) != 2 || img.Logs[0].Name != "one" {
		t.Fatalf("header: %+v", img)
	}
	got, err := img.Logs[0].Record(1)
	if err != nil {
		t.Fatal(err)
	}
	want := Record{Index: 1, Begin: 10, End: 15, Own: 14, Pos: 16, Data: bytes.Repeat([]byte{2}, 32)}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	under, err := img.Logs[1].Record(1)
	if err != nil || under.Begin != 99 || len(under.Data) != 16 {
		t.Errorf("the read under way: %+v, %v", under, err)
	}
	if head, err := Parse(mem[:HeaderSize]); err != nil || head.Logs[0].Count != 2 {
		t.Errorf("the header alone: %+v, %v", head, err)
	}
}

func TestLastReadingIsTheGeneratorsOwnWhereItHasOne(t *testing.T) {
	for own, want := range map[uint64]uint64{0: 200, 99: 200, 100: 100, 150: 150, 200: 200, 201: 200} {
		if got := (Record{Begin: 100, End: 200, Own: own}).Last(); got != want {
			t.Errorf("own reading %d between 100 and 200: the last is %d, want %d", own, got, want)
		}
	}
}

func TestRingKeepsTheLastAndSaysWhatIsGone(t *testing.T) {
	mem, r := region(t, Spec{"log", 4, 64})
	// 48 do not fit behind 32: they start the ring anew, over the first read.
	fill(r.Logs[0], 16, 16, 48)
	img, _ := Parse(mem)
	l := &img.Logs[0]
	for i, alive := range []bool{false, false, true} {
		rec, err := l.Record(uint64(i))
		if err != nil || (rec.Data != nil) != alive {
			t.Errorf("record %d: data %d bytes, %v", i, len(rec.Data), err)
		}
	}
	fill(r.Logs[0], 16, 16)
	img, _ = Parse(mem)
	l = &img.Logs[0]
	if l.Oldest() != 2 {
		t.Errorf("oldest is %d", l.Oldest())
	}
	for _, i := range []uint64{0, 1, 6} {
		if _, err := l.Record(i); err == nil {
			t.Errorf("record %d is given", i)
		}
	}
}

func TestParseRefusesForeignMemory(t *testing.T) {
	mem, _ := region(t, Spec{"log", 4, 64})
	wide := bytes.Clone(mem)
	store(wide, logsAt+entryBytes*8, 1<<40)
	many := bytes.Clone(mem)
	store(many, wordLogs*8, 1<<20)
	for name, b := range map[string][]byte{
		"empty": nil, "zero": make([]byte, 2*HeaderSize), "short": mem[:100], "wide": wide, "many": many,
	} {
		if _, err := Parse(b); err == nil {
			t.Errorf("%s: parsed", name)
		}
	}
}
