package probe

import (
	"bytes"
	"compress/gzip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// recorded is a file of a log that has lost what lay between two gaps, and the file's bytes.
func recorded(t *testing.T) (*Image, *File, []byte) {
	t.Helper()
	_, r := newRegion(t, Spec{Name: "log", Chunks: 12, Records: 2, Bytes: 64, After: 2})
	for i := range uint64(200) {
		at := i * 1000
		if i == 20 || i == 100 {
			at += 500
		}
		copy(r.Logs[0].Begin(at, 16), bytes.Repeat([]byte{byte(i)}, 16))
		r.Logs[0].End(at + i)
	}
	r.Logs[0].Begin(1e6, 16)
	img, err := r.Image()
	if err != nil {
		t.Fatal(err)
	}
	f := &File{Run: "x", Rate: 1e9}
	f.SetLogs(img)
	var b bytes.Buffer
	if err := f.Write(&b); err != nil {
		t.Fatal(err)
	}
	return img, f, b.Bytes()
}

func TestFileHoldsTheReadsAndNotTheirBytes(t *testing.T) {
	img, _, b := recorded(t)
	f, err := ReadFile(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	got, err := f.Image()
	if err != nil {
		t.Fatal(err)
	}
	want, have := img.Logs[0], got.Logs[0]
	if have.Count != want.Count || len(have.segments) < 2 {
		t.Fatalf("%d reads in %d pieces, want %d", have.Count, len(have.segments), want.Count)
	}
	seen := map[Block]bool{}
	for n := range uint64(201) {
		w, inWant := want.Record(n)
		h, inHave := have.Record(n)
		if inHave != (inWant && n < want.Count) || inHave && (h.Begin != w.Begin || h.End != w.End) {
			t.Errorf("record %d: %v, want %v", n, h, w)
		}
		if !inHave {
			continue
		}
		if bytes.Equal(h.Blocks[0][:hashSize], w.Blocks[0][:hashSize]) || seen[h.Blocks[0]] {
			t.Errorf("record %d: block %x of %x", n, h.Blocks[0], w.Blocks[0])
		}
		seen[h.Blocks[0]] = true
	}
}

func TestFileThatIsBrokenIsRefused(t *testing.T) {
	_, _, whole := recorded(t)
	for n := 0; n < len(whole); n += 1 + n/16 {
		if _, err := ReadFile(bytes.NewReader(whole[:n])); err == nil {
			t.Fatalf("read from %d of %d bytes", n, len(whole))
		}
	}
	for what, content := range map[string]string{
		"another version": `{"Format":"` + formatName + `0"}`,
		// A small file must not take gigabytes.
		"endless": `{"Format":"` + formatName + `","Logs":[{"Segments":[` + strings.Repeat("{},", 6<<20),
		"crowded": `{"Format":"` + formatName + `","Logs":[{"Segments":[` + strings.Repeat("0,", 2<<20) + `0]}]}`,
	} {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		z.Write([]byte(content))
		z.Close()
		if _, err := ReadFile(&b); err == nil || !strings.Contains(err.Error(), "another version") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := (&File{Logs: make([]FileLog, maxLogs+1)}).Image(); err == nil {
		t.Error("more logs than a region can have: taken")
	}
	for what, change := range map[string]func(*FileLog){
		"more reads than the log": func(l *FileLog) { l.Reads = l.Segments[0].First },
		"no reads":                func(l *FileLog) { l.Segments[0] = FileSegment{} },
		"pieces that overlap":     func(l *FileLog) { l.Segments[1].First = l.Segments[0].First },
		"a number too large":      func(l *FileLog) { l.Segments[len(l.Segments)-1].First = ^uint64(0) - 1 },
		"a time missing":          func(l *FileLog) { l.Segments[0].Passed = nil },
		"a hash missing":          func(l *FileLog) { l.Segments[0].Hashes = l.Segments[0].Hashes[1:] },
	} {
		_, f, _ := recorded(t)
		before, err := f.Image()
		if err != nil {
			t.Fatal(err)
		}
		change(&f.Logs[0])
		if after, err := f.Image(); err == nil {
			t.Errorf("%s: taken, %s", what, cmp.Diff(before.Logs[0].Count, after.Logs[0].Count))
		}
	}
}
