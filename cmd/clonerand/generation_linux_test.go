package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

func signalRun(t *testing.T, want int, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	if status := signalCommand(args, &out, &errs); status != want {
		t.Fatalf("signal %v: status %d, want %d: %s%s", args, status, want, &out, &errs)
	}
	return out.String(), errs.String()
}

// newGeneration makes a file; its generation starts anywhere.
func newGeneration(t *testing.T) (path string, start uint64) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "generation")
	signalRun(t, 0, "init", path)
	content, _ := readFile(t, path)
	return path, binary.LittleEndian.Uint64(content)
}

// A process restored on another machine must not find the number that it knows from its own.
func TestTwoFilesStartAtDifferentGenerations(t *testing.T) {
	_, a := newGeneration(t)
	_, b := newGeneration(t)
	if a-b+1000 < 2000 {
		t.Errorf("one starts at %d, the other at %d", a, b)
	}
}

func TestInitMakesTheFileAndItsFolder(t *testing.T) {
	defer unix.Umask(unix.Umask(0o077)) // hooks have any umask
	path := filepath.Join(t.TempDir(), "clonerand", "generation")
	signalRun(t, 0, "init", path)
	var file, dir unix.Stat_t
	if err := errors.Join(unix.Lstat(path, &file), unix.Lstat(filepath.Dir(path), &dir)); err != nil {
		t.Fatal(err)
	}
	if file.Mode != unix.S_IFREG|0o644 || int(file.Uid) != os.Geteuid() || file.Size != 64 || file.Nlink != 1 {
		t.Errorf("file: mode %o, owner %d, %d bytes, %d names", file.Mode, file.Uid, file.Size, file.Nlink)
	}
	if dir.Mode != unix.S_IFDIR|0o755 {
		t.Errorf("folder: mode %o", dir.Mode)
	}
	if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 1 {
		t.Errorf("leftovers: %v", entries)
	}
}

func TestInitLeavesAFileThatIsThere(t *testing.T) {
	path, _ := newGeneration(t)
	signalRun(t, 0, "bump", "-id", "0102", path)
	before, inode := readFile(t, path)
	out, _ := signalRun(t, 0, "init", path)
	after, inode2 := readFile(t, path)
	if !bytes.Equal(before, after) || inode != inode2 || !strings.Contains(out, "is there already") {
		t.Errorf("init changed the file:\n%x\n%x\n%s", before, after, out)
	}
}

// Twenty at once, real processes: one makes the file, the others find it, and nobody fails.
func TestInitsAtOnceMakeOneFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "clonerand", "generation")
	var made atomic.Int32
	atOnce(20, func(int) {
		out, err := exec.Command(program(t), "signal", "init", path).CombinedOutput()
		if err != nil {
			t.Errorf("%v: %s", err, out)
		}
		if strings.HasSuffix(string(out), ": made\n") {
			made.Add(1)
		}
	})
	if made.Load() != 1 {
		t.Errorf("%d processes made the file", made.Load())
	}
}

func TestAFileThatProcessesWouldNotUseIsRefused(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(path string) error
		why  string
	}{
		{"empty", func(path string) error { return os.WriteFile(path, nil, 0o644) }, "has 0 bytes"},
		{"short", func(path string) error { return os.WriteFile(path, make([]byte, 63), 0o644) }, "has 63 bytes"},
		{"writable by others", func(path string) error {
			return errors.Join(os.WriteFile(path, make([]byte, 64), 0o644), os.Chmod(path, 0o666))
		}, "is writable by others (mode 0666)"},
		{"folder", func(path string) error { return os.Mkdir(path, 0o755) }, "is a directory"},
		{"FIFO", func(path string) error { return unix.Mkfifo(path, 0o644) }, "is not a regular file"},
		{"symbolic link", func(path string) error {
			return errors.Join(os.WriteFile(path+".real", make([]byte, 64), 0o644), os.Symlink(path+".real", path))
		}, "is a symbolic link"},
		{"symbolic link to nowhere", func(path string) error { return os.Symlink("nowhere", path) }, "is a symbolic link"},
		{"another user's", func(path string) error {
			if os.Geteuid() != 0 {
				t.Skip("only root can give a file to another user")
			}
			return errors.Join(os.WriteFile(path, make([]byte, 64), 0o644), os.Chown(path, 12345, -1))
		}, "belongs to user 12345"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "generation")
			if err := c.make(path); err != nil {
				t.Fatal(err)
			}
			for _, args := range [][]string{{"bump", path}, {"init", path}, {"status", path}} {
				why := c.why
				if c.name == "folder" && args[0] != "bump" { // opened for reading only
					why = "is not a regular file"
				}
				if _, got := signalRun(t, 1, args...); !strings.Contains(got, why) {
					t.Errorf("signal %s: %s, want %q", args[0], got, why)
				}
			}
			// And the package does not use it, and the report says why.
			why, _, _ := strings.Cut(strings.Replace(c.why, "is a directory", "is not a regular file", 1), ";")
			cmd := exec.Command(program(t))
			cmd.Env = append(os.Environ(), "CLONERAND_GENERATION="+path)
			out, err := cmd.Output()
			if want := "generation file     no   " + path + ": " + why; err != nil || !strings.Contains(string(out), want) {
				t.Errorf("%v, the report is\n%swant %q in it", err, out, want)
			}
		})
	}
	missing := filepath.Join(t.TempDir(), "generation")
	if _, got := signalRun(t, 1, "bump", missing); !strings.Contains(got, "make it with: clonerand signal init") {
		t.Errorf("bump of a missing file: %s", got)
	}
}

func TestBumpCountsAndPublishesTheIdentity(t *testing.T) {
	path, start := newGeneration(t)
	_, inode := readFile(t, path)
	idFile := filepath.Join(t.TempDir(), "id")
	if err := os.WriteFile(idFile, []byte("vm-17 restored at noon"), 0o600); err != nil {
		t.Fatal(err)
	}
	signalRun(t, 0, "bump", "-id", "c0ffee", path)
	checkGeneration(t, path, start+1, "\xc0\xff\xee")
	signalRun(t, 0, "bump", "-id-file", idFile, path)
	checkGeneration(t, path, start+2, "vm-17 restored at noon")
	signalRun(t, 0, "bump", path)
	first, _ := readFile(t, path)
	signalRun(t, 0, "bump", path)
	second, inode2 := readFile(t, path)
	for i := 8; i < 64; i += 8 { // fresh random bytes fill all of it
		if bytes.Equal(first[i:i+8], second[i:i+8]) || bytes.Equal(second[i:i+8], make([]byte, 8)) {
			t.Errorf("two fresh identities agree at byte %d:\n%x\n%x", i, first, second)
		}
	}
	if inode != inode2 {
		t.Error("bump replaced the file")
	}
	out, _ := signalRun(t, 0, "status", path)
	if want := fmt.Sprintf("%s: generation %d, identity %x\n", path, start+4, second[8:]); !strings.HasSuffix(out, want) {
		t.Errorf("status says %q, want %q at its end", out, want)
	}
}

func TestBumpsAtOnceAllCount(t *testing.T) {
	path, start := newGeneration(t)
	atOnce(30, func(i int) { // real processes
		id := strings.Repeat(fmt.Sprintf("%02x", i+1), 56)
		if out, err := exec.Command(program(t), "signal", "bump", "-id", id, path).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	atOnce(8, func(i int) { // and goroutines, which overlap more
		for range 200 {
			if _, err := bumpGeneration(path, [identitySize]byte(bytes.Repeat([]byte{byte(i + 1)}, identitySize))); err != nil {
				t.Error(err)
			}
		}
	})
	generation, id, err := readGeneration(path)
	if err != nil || generation != start+30+8*200 {
		t.Errorf("generation %d, %v, want %d", generation, err, start+30+8*200)
	}
	if !bytes.Equal(id[:], bytes.Repeat(id[:1], identitySize)) {
		t.Errorf("the identity is a mixture: %x", id)
	}
}

// Anybody who can read the file can lock it. A bump waits for a lock, so that identities are not mixed, but only for
// a second, and then counts all the same.
func TestABumpWaitsForALockButNotForEver(t *testing.T) {
	path, start := newGeneration(t)
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lock := func() {
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
			t.Fatal(err)
		}
	}
	bump := func(int) {
		if _, err := bumpGeneration(path, [identitySize]byte{1}); err != nil {
			t.Error(err)
		}
	}
	lock()
	bumped := make(chan struct{})
	go func() { atOnce(4, bump); close(bumped) }()
	select {
	case <-bumped:
		t.Error("a bump did not wait for the lock")
	case <-time.After(200 * time.Millisecond):
	}
	select {
	case <-bumped:
	case <-time.After(20 * time.Second):
		t.Fatal("a bump waits for the lock for ever")
	}
	checkGeneration(t, path, start+4, "\x01")
}

func TestAddingAtOnceLosesNothing(t *testing.T) {
	var word uint64
	atOnce(4, func(int) {
		for range 1_000_000 {
			addLittleEndian(&word)
		}
	})
	if got := littleEndian(word); got != 4_000_000 {
		t.Errorf("4000000 additions made %d", got)
	}
}

// Whoever has seen generation n finds no word of an identity older than n.
func TestAReaderNeverTakesAnOldIdentityForANewGeneration(t *testing.T) {
	path, first := newGeneration(t)
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	page, err := unix.Mmap(int(f.Fd()), 0, generationSize, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(page)
	words := (*[generationSize / 8]uint64)(unsafe.Pointer(&page[0]))

	var moves atomic.Int32
	var stop atomic.Bool
	var reader sync.WaitGroup
	reader.Go(func() {
		for seen := uint64(0); !stop.Load(); {
			n := littleEndian(atomic.LoadUint64(&words[0])) - first
			if n == seen {
				continue
			}
			seen = n
			moves.Add(1)
			for i := 1; i < len(words); i++ {
				if word := littleEndian(atomic.LoadUint64(&words[i])); word < n {
					t.Errorf("generation %d with word %d of the identity of %d", n, i, word)
					return
				}
			}
		}
	})
	start := time.Now()
	for n := uint64(1); moves.Load() < 500 && !t.Failed(); n++ {
		var id [identitySize]byte
		for i := 0; i < identitySize; i += 8 {
			binary.LittleEndian.PutUint64(id[i:], n)
		}
		if _, err := bumpGeneration(path, id); err != nil {
			t.Error(err)
		}
		if time.Since(start) > 30*time.Second {
			t.Errorf("the reader saw %d bumps in 30 s: too few to show anything", moves.Load())
		}
	}
	stop.Store(true)
	reader.Wait()
}

// The whole way: a process that uses the package notices the bump of another.
func TestAProcessNoticesABump(t *testing.T) {
	if os.Getenv("CLONERAND_TEST_EMULATOR") != "" {
		t.Skip("user-mode emulation: the kernel starts no program of another CPU")
	}
	path, _ := newGeneration(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "CLONERAND_TEST_HELPER=generation", "CLONERAND_GENERATION="+path)
	cmd.Stderr = os.Stderr
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer in.Close()
	lines := bufio.NewScanner(out)
	ask := func() string {
		fmt.Fprintln(in)
		if !lines.Scan() {
			t.Fatal("the process ended")
		}
		return lines.Text()
	}
	last := ask()
	for n := range 5 {
		if again := ask(); again != last {
			t.Errorf("the generation moved from %s to %s without a bump", last, again)
		}
		if out, err := exec.Command(program(t), "signal", "bump", path).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		next := ask()
		if next == last {
			t.Errorf("bump %d: the generation is still %s", n+1, last)
		}
		last = next
	}
}

func atOnce(n int, f func(i int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { f(i) })
	}
	all.Wait()
}

func littleEndian(word uint64) uint64 {
	return binary.LittleEndian.Uint64(binary.NativeEndian.AppendUint64(nil, word))
}

func readFile(t *testing.T, path string) (content []byte, inode uint64) {
	t.Helper()
	var st unix.Stat_t
	content, err := os.ReadFile(path)
	if err := errors.Join(err, unix.Stat(path, &st)); err != nil {
		t.Fatal(err)
	}
	return content, st.Ino
}

// checkGeneration wants that counter, and that identity with zeros after it.
func checkGeneration(t *testing.T, path string, generation uint64, id string) {
	t.Helper()
	want := binary.LittleEndian.AppendUint64(nil, generation)
	want = append(want, id+strings.Repeat("\x00", identitySize-len(id))...)
	if got, _ := readFile(t, path); !bytes.Equal(got, want) {
		t.Errorf("the file holds\n%x, want\n%x", got, want)
	}
}
