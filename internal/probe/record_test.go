package probe

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fill16 writes reads of the given sizes, each of its own byte value, counter 10 ticks a read.
func fill16(l *Log, sizes ...int) {
	for _, n := range sizes {
		at := l.Count()
		copy(l.Begin(at*10, n), bytes.Repeat([]byte{byte(at + 1)}, n))
		l.End(at*10 + 5)
	}
}

func newRegion(t *testing.T, specs ...Spec) ([]byte, *Region) {
	t.Helper()
	mem := make([]byte, Size(specs))
	r, err := New(mem, specs)
	if err != nil {
		t.Fatal(err)
	}
	return mem, r
}

func TestImageReadsWhatWasWritten(t *testing.T) {
	mem, r := newRegion(t, Spec{Name: "one", Chunks: 4, Records: 2, Bytes: 64}, Spec{Name: "two", Chunks: 4, Records: 4, Bytes: 32})
	r.SetRate(1e9)
	r.SetGeneration(7)
	r.SetCounterUsed()
	fill16(r.Logs[0], 16, 32, 64, 16) // a chunk takes two of them, or 64 bytes
	fill16(r.Logs[1], 16)
	r.Logs[1].Begin(99, 16)

	img, err := Parse(mem)
	if err != nil {
		t.Fatal(err)
	}
	if img.Rate != 1e9 || img.Generation != 7 || !img.CounterUsed || len(img.Logs) != 2 || img.Logs[0].Name != "one" {
		t.Fatalf("header: %+v", img)
	}
	for i, blocks := range []int{1, 2, 4, 1} {
		got, ok := img.Logs[0].Record(uint64(i))
		want := Record{Begin: uint64(i) * 10, End: uint64(i)*10 + 5}
		for range blocks {
			want.Blocks = append(want.Blocks, Block(bytes.Repeat([]byte{byte(i + 1)}, 16)))
		}
		if d := cmp.Diff(want, got); d != "" || !ok {
			t.Errorf("record %d, kept %v: %s", i, ok, d)
		}
	}
	under, ok := img.Logs[1].Record(1)
	if !ok || under.Begin != 99 || len(under.Blocks) != 1 {
		t.Errorf("the read under way: %+v, %v", under, ok)
	}
	if head, err := Parse(mem[:HeaderSize]); err != nil || head.Logs[0].Count != 4 {
		t.Errorf("the header alone: %+v, %v", head, err)
	}
}

func TestLogKeepsTheLastOfEqualGaps(t *testing.T) {
	mem, r := newRegion(t, Spec{Name: "log", Chunks: 4, Records: 2, Bytes: 64})
	for range 11 {
		fill16(r.Logs[0], 16)
	}
	img, _ := Parse(mem)
	for i, want := range map[uint64]bool{10: true, 9: true, 4: true, 3: false, 0: false} {
		if _, ok := img.Logs[0].Record(i); ok != want {
			t.Errorf("record %d of 11 kept: %v", i, ok)
		}
	}
}

// The reads around the longest gaps outlive any number of reads after them.
func TestLogKeepsWhatIsAroundTheLongestGaps(t *testing.T) {
	const after = 3
	mem, r := newRegion(t, Spec{Name: "log", Chunks: 24, Records: 2, Bytes: 64, After: after})
	now := uint64(0)
	gaps := map[int]uint64{100: 900, 201: 500, 300: 1 << 20, 301: 700, 500: 40, 5000: 600}
	for i := range 10_000 {
		now += 10 + gaps[i] + uint64(i%7) // which is gaps, too, of no use
		r.Logs[0].Begin(now, 16)
		now += 5
		r.Logs[0].End(now)
	}
	img, err := Parse(mem)
	if err != nil {
		t.Fatal(err)
	}
	for at, gap := range gaps {
		for i := at - 1; i < at+2*after && gap >= 500; i++ {
			if _, ok := img.Logs[0].Record(uint64(i)); !ok {
				t.Errorf("record %d is gone, %d from a gap of %d", i, i-at, gap)
			}
		}
	}
	if _, ok := img.Logs[0].Record(500); ok {
		t.Error("a gap of 40 is kept in place of longer ones")
	}
	first, _ := img.Logs[0].Record(300)
	if end, gap := r.Logs[0].LongestGap(); end != first.End || gap < 1<<20 || gap > 1<<20+30 {
		t.Errorf("the longest gap is %d and ends at %d, not at %d", gap, end, first.End)
	}
}

func TestParseRefusesForeignMemory(t *testing.T) {
	mem, r := newRegion(t, Spec{Name: "log", Chunks: 4, Records: 4, Bytes: 64})
	fill16(r.Logs[0], 16, 16)
	entry := func(i int, v uint64) []byte { b := bytes.Clone(mem); store(b[logsAt:], i, v); return b }
	chunk := func(i int, v uint64) []byte { b := bytes.Clone(mem); store(b[HeaderSize:], i, v); return b }
	many := bytes.Clone(mem)
	store(many, wordLogs, 1<<20)
	for name, b := range map[string][]byte{
		"empty": nil, "zero": make([]byte, 2*HeaderSize), "short": mem[:100], "many": many, "cut": mem[:len(mem)-8],
		"start": entry(entryStart, 1<<63), "chunks": entry(entryChunks, 1<<40), "records": entry(entryRecords, 1<<40),
		"bytes": entry(entryBytes, 1<<40), "count": entry(entryCount, 0),
		"first": chunk(chunkFirst, 1<<62), "in chunk": chunk(chunkCount, 5),
		"pos": chunk(chunkHeader/8+recordPos, 1<<40), "len": chunk(chunkHeader/8+recordLen, 65),
	} {
		if _, err := Parse(b); err == nil {
			t.Errorf("%s: parsed", name)
		}
	}
	if _, err := Parse(mem); err != nil {
		t.Error(err)
	}
}
