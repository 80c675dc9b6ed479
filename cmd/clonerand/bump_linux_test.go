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

	"github.com/clonerand/rand/internal/signalfile"
	"golang.org/x/sys/unix"
)

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
	skipEmulated(t, "a child that is forked while other threads run can hang in QEMU before its exec")
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
	skipEmulated(t, "the kernel starts no program of another CPU")
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

// skipEmulated skips a test of what a user-mode emulator does not do as the kernel does.
func skipEmulated(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("CLONERAND_TEST_EMULATOR") != "" { // set by .ci/emulated.sh
		t.Skip("user-mode emulation:", why)
	}
}

// A container's image brings the file. On overlayfs the first who opens it to write makes another file, which
// those who have it mapped never see. init does that before they come, and a bump says if it was too late.
func TestAFileOfAContainersImage(t *testing.T) {
	for name, initFirst := range map[string]bool{"init before map": true, "map before bump": false} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, d := range []string{"lower", "upper", "work", "merged"} {
				if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			signalRun(t, 0, "init", filepath.Join(dir, "lower", "generation"))
			merged := filepath.Join(dir, "merged")
			options := fmt.Sprintf("lowerdir=%[1]s/lower,upperdir=%[1]s/upper,workdir=%[1]s/work", dir)
			if err := unix.Mount("overlay", merged, "overlay", 0, options); err != nil {
				t.Skip("mount an overlayfs:", err)
			}
			t.Cleanup(func() { unix.Unmount(merged, unix.MNT_DETACH) })
			path := filepath.Join(merged, "generation")
			if initFirst {
				signalRun(t, 0, "init", path)
			}
			f, err := openGeneration(path, os.O_RDONLY)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			memory, err := signalfile.Map(int(f.Fd()), 1)
			if err != nil {
				t.Fatal(err)
			}
			before := atomic.LoadUint64(&memory[0])
			var stdout, stderr bytes.Buffer
			status := run([]string{"signal", "bump", path}, &stdout, &stderr)
			seen := atomic.LoadUint64(&memory[0]) != before
			if seen != initFirst || (status == 0) != seen {
				t.Errorf("a process sees the bump: %v, and its status is %d: %s", seen, status, &stderr)
			}
			if !seen && !strings.Contains(stderr.String(), "start those processes again") {
				t.Errorf("it says %q", &stderr)
			}
			signalRun(t, 0, "bump", path) // nobody was misled by this one
		})
	}
}
