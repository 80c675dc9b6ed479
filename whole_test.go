package rand

import (
	cryptorand "crypto/rand"
	"io"
	"strings"
	"testing"
)

// In a patched program seeding draws from what the standard library drew from before.
func TestSystemReaderIsWhatStdHadBefore(t *testing.T) {
	if got := newSystemReader(nil); got != cryptorand.Reader {
		t.Errorf("without a patch it is %v", got)
	}
	var b [20]byte
	n, err := newSystemReader(func(b []byte) { copy(b, "the operating system") }).Read(b[:])
	if n != len(b) || err != nil || string(b[:]) != "the operating system" {
		t.Errorf("%d, %v, %q", n, err, b)
	}
}

// The hook asks the default generator even if Reader was replaced: by crypto/rand's,
// which would ask the hook.
func TestHookDoesNotAskWhatReaderWasReplacedBy(t *testing.T) {
	defer func(r io.Reader) { Reader = r }(Reader)
	Reader = readerFunc(func([]byte) (int, error) {
		t.Error("the hook drew from a Reader that was put there")
		return 0, io.EOF
	})
	var a, b [16]byte
	readForStd(a[:])
	readForStd(b[:])
	if a == b {
		t.Errorf("%x twice", a)
	}
	if allocs := testing.AllocsPerRun(100, func() { readForStd(a[:]) }); allocs > 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func TestInspectSaysWhetherTheStandardLibraryDrawsFromHere(t *testing.T) {
	for name, c := range map[string]struct {
		hooked  bool
		reader  io.Reader
		version string
		godebug string
		active  bool
		detail  string // begins with it
	}{
		"plain":                        {detail: "it draws from the operating system"},
		"plain, Reader replaced":       {reader: defaultReader, detail: "partly: crypto/rand.Reader is this"},
		"plain, another Reader":        {reader: readerFunc(nil), detail: "it draws from the operating system"},
		"patched":                      {hooked: true, active: true, detail: "patched"},
		"patched, Reader replaced":     {hooked: true, reader: defaultReader, active: true, detail: "patched"},
		"patched, another Reader":      {hooked: true, reader: readerFunc(nil), detail: "partly: it is patched, but crypto/rand.Reader was"},
		"BoringCrypto":                 {hooked: true, version: "go1.26.8 X:boringcrypto", detail: "partly: it is patched, but what goes through"},
		"cryptocustomrand":             {hooked: true, godebug: "x=1,cryptocustomrand=1", detail: "partly: it is patched, but functions honour"},
		"cryptocustomrand, off again":  {hooked: true, godebug: "cryptocustomrand=1,cryptocustomrand=0", active: true, detail: "patched"},
		"cryptocustomrand, for bisect": {hooked: true, godebug: "cryptocustomrand=1#3", detail: "partly: it is patched, but functions honour"},
		"another setting":              {hooked: true, godebug: "fips140=on", active: true, detail: "patched"},
	} {
		if c.reader == nil {
			c.reader = cryptorand.Reader
		}
		if c.version == "" {
			c.version = "go1.26.8"
		}
		p := Protection{Name: "standard library"}.judgeStd(c.hooked, c.reader, c.version, c.godebug)
		if p.Active != c.active || !strings.HasPrefix(p.Detail, c.detail) || (p.Mend == "") != p.Active {
			t.Errorf("%s: %+v", name, p)
		}
	}
	rows := Inspect(0)
	if last := rows[len(rows)-1]; last.Name != "standard library" || last.Active != (stdHook.Load() != nil) {
		t.Errorf("Inspect says %+v", last)
	}
}
