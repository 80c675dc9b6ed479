package rand

import (
	"bytes"
	cryptorand "crypto/rand"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// newSeed makes a seed in a folder of its own, on a memory file system where
// there is one, since most tests do not need a disk.
func newSeed(t testing.TB) (*NVSeed, string) {
	t.Helper()
	path := filepath.Join(memoryDir(t), "seed")
	err := CreateNVSeed(path)
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return openSeed(t, path), path
}

func openSeed(t testing.TB, path string) *NVSeed {
	t.Helper()
	s, err := OpenNVSeed(path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func memoryDir(t testing.TB) string {
	const memory = "/dev/shm"
	if filepath.IsAbs(memory) { // not on Windows
		if dir, err := os.MkdirTemp(memory, "clonerand"); err == nil {
			t.Cleanup(func() { os.RemoveAll(dir) })
			return dir
		}
	}
	return t.TempDir()
}

func mustDraw(t testing.TB, s *NVSeed, n int, perso string) []byte {
	t.Helper()
	out := make([]byte, n)
	if err := s.draw(out, []byte(perso)); err != nil {
		t.Fatal(err)
	}
	return out
}

func mustReadFile(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// frozen is a stamp that says nothing: what differs then differs by seed or
// personalization alone.
func frozen() []byte { return nil }

func folder(t testing.TB, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestNVSeedFileIsReplacedByEachRead(t *testing.T) {
	s, path := newSeed(t)
	seen := map[string]bool{string(mustReadFile(t, path)): true}
	for range 5 {
		out := make([]byte, 48)
		if n, err := s.Read(out); n != len(out) || err != nil {
			t.Fatalf("Read = %d, %v", n, err)
		}
		next := mustReadFile(t, path)
		if len(next) != nvSeedLen || seen[string(next)] {
			t.Fatalf("after a Read the file holds %d bytes, seen before: %v", len(next), seen[string(next)])
		}
		if bytes.Contains(next, out[:8]) || bytes.Contains(out, next[:8]) {
			t.Error("output and next seed share bytes")
		}
		seen[string(next)] = true
	}
	if n, err := s.Read(nil); n != 0 || err != nil {
		t.Errorf("empty Read = %d, %v", n, err)
	}
	if !seen[string(mustReadFile(t, path))] {
		t.Error("an empty Read advanced the file")
	}
}

func TestNVSeedServesAnyLengthWithOneAdvance(t *testing.T) {
	for _, n := range []int{1, 15, 16, 48, maxRequest - 1, maxRequest, maxRequest + 1, 3*maxRequest + 5} {
		s, path := newSeed(t)
		advances := 0
		s.step = func(name string) {
			if name == "renamed" {
				advances++
			}
		}
		before := mustReadFile(t, path)
		out := make([]byte, n)
		if _, err := io.ReadFull(s, out); err != nil {
			t.Fatal(err)
		}
		if advances != 1 || bytes.Equal(before, mustReadFile(t, path)) {
			t.Errorf("%d bytes: %d advances", n, advances)
		}
		blocks := map[[16]byte]bool{}
		for b := out; len(b) >= 16; b = b[16:] {
			if block := [16]byte(b); blocks[block] {
				t.Fatalf("%d bytes: a block repeats", n)
			} else {
				blocks[block] = true
			}
		}
	}
}

// Which inputs make a difference: two draws from equal copies of a file.
func TestNVSeedDrawDependsOn(t *testing.T) {
	for _, c := range []struct {
		name           string
		perso1, perso2 string
		stamp          func() []byte
		change         func([]byte)
		same           bool
	}{
		{name: "nothing, frozen stamp", stamp: frozen, same: true},
		{name: "same personalization, frozen stamp", perso1: "device 1", perso2: "device 1", stamp: frozen, same: true},
		{name: "other personalization, frozen stamp", perso1: "device 1", perso2: "device 2", stamp: frozen},
		{name: "personalization or none, frozen stamp", perso1: "x", stamp: frozen},
		{name: "real stamp"},
		{name: "first byte, frozen stamp", stamp: frozen, change: func(b []byte) { b[0] ^= 1 }},
		{name: "byte 64, frozen stamp", stamp: frozen, change: func(b []byte) { b[63] ^= 1 }},
		{name: "byte 65, frozen stamp", stamp: frozen, change: func(b []byte) { b[64] ^= 1 }},
		{name: "last byte of 1024, frozen stamp", stamp: frozen, change: func(b []byte) { b[1023] ^= 1 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := memoryDir(t)
			content := make([]byte, nvSeedMaxLen)
			fillRandom(t, content)
			run := func(name, perso string) (out, next []byte) {
				path := filepath.Join(dir, name)
				if err := os.WriteFile(path, content, 0o600); err != nil {
					t.Fatal(err)
				}
				s := openSeed(t, path)
				s.stamp = c.stamp
				out = mustDraw(t, s, 48, perso)
				return out, mustReadFile(t, path)
			}
			out1, next1 := run("1", c.perso1)
			if c.change != nil {
				c.change(content)
			}
			out2, next2 := run("2", c.perso2)
			if bytes.Equal(out1, out2) != c.same || bytes.Equal(next1, next2) != c.same {
				t.Errorf("same output: %v, same next seed: %v, want %v", bytes.Equal(out1, out2), bytes.Equal(next1, next2), c.same)
			}
		})
	}
}

// fillRandom fills b with bytes for a test.
func fillRandom(t testing.TB, b []byte) {
	t.Helper()
	if _, err := io.ReadFull(cryptorand.Reader, b); err != nil {
		t.Fatal(err)
	}
}

func TestNVSeedClocksAreReadAgainAfterTheWrite(t *testing.T) {
	s, _ := newSeed(t)
	var durable, after bool
	s.step = func(name string) { durable = durable || name == "durable" }
	s.stamp = func() []byte {
		after = after || durable
		return frozen()
	}
	mustDraw(t, s, 48, "")
	if !after {
		t.Error("a machine that is cloned in the middle of a draw would hand out one output twice")
	}
}

func TestNVSeedGoroutinesExcludeEachOther(t *testing.T) {
	s, path := newSeed(t)
	s.stamp = frozen
	other := openSeed(t, path) // as another part of the program would
	other.stamp = frozen
	var mu sync.Mutex
	seen := map[string]bool{}
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			s := []*NVSeed{s, other}[i%2]
			for range 20 {
				out := make([]byte, 48)
				if _, err := s.Read(out); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				seen[string(out)] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(seen) != 16*20 {
		t.Errorf("%d distinct outputs of %d", len(seen), 16*20)
	}
}

func TestCreateNVSeed(t *testing.T) {
	dir := memoryDir(t)
	path := filepath.Join(dir, "seed")
	if err := CreateNVSeed(path); err != nil {
		t.Fatal(err)
	}
	first := mustReadFile(t, path)
	if len(first) != nvSeedLen || blank(first) {
		t.Errorf("first seed: %d bytes, blank: %v", len(first), blank(first))
	}
	if got := strings.Join(folder(t, dir), " "); got != "seed seed.lock" {
		t.Errorf("the folder holds %s", got)
	}
	err := CreateNVSeed(path)
	if !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), "must not be set back") {
		t.Errorf("a second time: %v", err)
	}
	if !bytes.Equal(first, mustReadFile(t, path)) {
		t.Error("a seed in use was set back")
	}
	if err := CreateNVSeed(filepath.Join(dir, "none", "seed")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in a folder that is missing: %v", err)
	}
}

func TestOpenNVSeedLeavesTheSeedAlone(t *testing.T) {
	_, path := newSeed(t)
	before := mustReadFile(t, path)
	openSeed(t, path)
	if !bytes.Equal(before, mustReadFile(t, path)) {
		t.Error("OpenNVSeed changed the seed")
	}
	if got := strings.Join(folder(t, filepath.Dir(path)), " "); got != "seed seed.lock" {
		t.Errorf("the folder holds %s", got)
	}
}

func TestNVSeedSurvivesChdir(t *testing.T) {
	dir := memoryDir(t)
	t.Chdir(dir)
	if err := CreateNVSeed("seed"); err != nil {
		t.Fatal(err)
	}
	s := openSeed(t, "seed")
	before := mustReadFile(t, "seed")
	t.Chdir(t.TempDir())
	mustDraw(t, s, 48, "")
	if bytes.Equal(before, mustReadFile(t, filepath.Join(dir, "seed"))) {
		t.Error("another file was advanced")
	}
}

func TestNVSeedZeroValue(t *testing.T) {
	if _, err := new(NVSeed).Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "OpenNVSeed") {
		t.Errorf("Read of an NVSeed that was not opened: %v", err)
	}
}

func TestNVSeedErrorLeavesTheSliceAlone(t *testing.T) {
	s, path := newSeed(t)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	out := bytes.Repeat([]byte{0xa5}, 48)
	if n, err := s.Read(out); n != 0 || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Read = %d, %v", n, err)
	}
	if !bytes.Equal(out, bytes.Repeat([]byte{0xa5}, 48)) {
		t.Error("bytes were handed out beside an error")
	}
}

// A goroutine that never comes back from its draw.
func TestNVSeedWaitForAGoroutineIsBounded(t *testing.T) {
	s, _ := newSeed(t)
	in, out := make(chan bool), make(chan bool)
	s.step = func(name string) {
		if name == "derived" {
			in <- true
			<-out
		}
	}
	done := make(chan error)
	go func() { _, err := s.Read(make([]byte, 48)); done <- err }()
	<-in
	other := *s
	other.step, other.wait = nil, 50*time.Millisecond
	_, err := other.Read(make([]byte, 48))
	if err == nil || !strings.Contains(err.Error(), ".lock: held by another goroutine") {
		t.Errorf("while another goroutine is in a draw: %v", err)
	}
	close(out)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := other.Read(make([]byte, 48)); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}
