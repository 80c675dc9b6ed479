package rand

import (
	"bufio"
	"bytes"
	"context"
	cryptorand "crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
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
		if anyTwice(out) {
			t.Errorf("%d bytes: a block repeats", n)
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
	if err := CreateNVSeed(filepath.Join(dir, "none", "seed")); !errors.Is(err, fs.ErrNotExist) || runtime.GOOS != "windows" && !strings.Contains(err.Error(), "make the folder first") {
		t.Errorf("in a folder that is missing: %v", err)
	}
}

// A seed with the name of a file that lies beside another seed would be removed by a draw from
// that one, or would be its lock, which a draw replaces: then two processes draw from one seed.
func TestNVSeedThatIsNamedLikeAFileBesideOne(t *testing.T) {
	for _, suffix := range []string{".next", ".lock", ".Next", ".LOCK"} {
		_, path := newSeed(t)
		seed := mustReadFile(t, path)
		if err := os.Remove(path + ".lock"); err != nil {
			t.Fatal(err)
		}
		const want = ": choose another name"
		if err := CreateNVSeed(path + suffix); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("CreateNVSeed of seed%s: %v", suffix, err)
		}
		if got := strings.Join(folder(t, filepath.Dir(path)), " "); got != "seed" {
			t.Errorf("the folder holds %s", got)
		}
		if err := os.WriteFile(path+suffix, seed, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenNVSeed(path + suffix); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("OpenNVSeed of seed%s: %v", suffix, err)
		}
	}
	_, path := newSeed(t)
	for _, name := range []string{"lock", "next", "seed.lock.1", ".lockseed"} {
		name = filepath.Join(filepath.Dir(path), name)
		if err := CreateNVSeed(name); err != nil {
			t.Error(err)
		}
		openSeed(t, name)
	}
}

// A folder by another name, on systems that have such.
func TestNVSeedInAFolderBehindALink(t *testing.T) {
	dir := memoryDir(t)
	link := filepath.Join(dir, "link")
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "folder"), 0o700), os.Symlink(filepath.Join(dir, "folder"), link)); err != nil {
		t.Skip(err)
	}
	if _, err := os.Lstat(link); err != nil {
		t.Skip("what was made is no link here (wine 8):", err)
	}
	path := filepath.Join(link, "seed")
	if err := CreateNVSeed(path); err != nil {
		t.Fatal(err)
	}
	mustDraw(t, openSeed(t, path), 48, "")
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

const (
	seedHelperEnv    = "CLONERAND_TEST_SEED_HELPER"
	seedHelperFailed = 3 // exit status
)

// seedHelpers are what a process started by seedHelper does. Their stamp is
// frozen: if two draws from one seed were possible, they would be equal.
var seedHelpers = map[string]func(s *NVSeed, args []string) error{
	// draw N: N draws of 48 bytes, a line in hexadecimal each.
	"draw": func(s *NVSeed, args []string) error {
		n, err := strconv.Atoi(args[0])
		if err != nil {
			return err
		}
		for out := make([]byte, 48); n > 0; n-- {
			if _, err := s.Read(out); err != nil {
				return err
			}
			fmt.Printf("%x\n", out)
		}
		return nil
	},
	// die STEP N: draw N times, then die at STEP of one more draw.
	"die": func(s *NVSeed, args []string) error {
		n, err := strconv.Atoi(args[1])
		if err != nil {
			return err
		}
		die := func(step string) {
			if n == 0 && step == args[0] {
				if self, err := os.FindProcess(os.Getpid()); err == nil {
					self.Kill() // SIGKILL, or TerminateProcess
				}
				select {}
			}
		}
		s.step = die
		for out := make([]byte, 48); ; n-- {
			if _, err := s.Read(out); err != nil {
				return err
			}
			die("drawn")
			if _, err := os.Stdout.WriteString(hex.EncodeToString(out) + "\n"); err != nil {
				return err
			}
			die("handed out")
			if n == 0 {
				return fmt.Errorf("there is no step %q", args[0])
			}
		}
	},
	// try: draw if nobody else does.
	"try": func(s *NVSeed, args []string) error {
		s.wait = 0
		_, err := s.Read(make([]byte, 48))
		return err
	},
	// hold STEP: stop at STEP until standard input ends.
	"hold": func(s *NVSeed, args []string) error {
		s.step = func(step string) {
			if step == args[0] {
				fmt.Println(step)
				io.Copy(io.Discard, os.Stdin)
			}
		}
		_, err := s.Read(make([]byte, 48))
		return err
	},
}

// drawSteps are the steps of a draw, as the hook sees them, and what follows it.
var drawSteps = []string{"opened", "lock opened", "locked", "read", "derived", "removed", "created", "written", "synced", "closed", "renamed", "durable", "drawn", "handed out"}

func TestSeedHelperProcess(t *testing.T) {
	if os.Getenv(seedHelperEnv) == "" {
		t.Skip("not a test: what helper processes of other tests run")
	}
	args := strings.Split(os.Getenv(seedHelperEnv), "\n")
	// The same as OpenNVSeed, but for its trial: it takes longer than the rest.
	s, err := newNVSeed(args[1])
	if err == nil {
		s.stamp = frozen
		err = seedHelpers[args[0]](s, args[2:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(seedHelperFailed)
	}
	os.Exit(0)
}

func seedHelper(t testing.TB, name, path string, args ...string) *exec.Cmd {
	cmd := testBinary(context.Background(), "-test.run=^TestSeedHelperProcess$")
	all := append([]string{name, path}, args...)
	cmd.Env = append(os.Environ(), seedHelperEnv+"="+strings.Join(all, "\n"))
	if name != "try" {
		cmd.Stderr = os.Stderr
	}
	return cmd
}

// holdSeed starts a process that stops at a step of a draw, and returns it when
// it has.
func holdSeed(t testing.TB, path, step string) *exec.Cmd {
	t.Helper()
	cmd := seedHelper(t, "hold", path, step)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		cmd.Process.Kill()
		cmd.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != step+"\n" {
		t.Fatalf("the helper said %q, %v", line, err)
	}
	return cmd
}

func TestNVSeedProcessesExcludeEachOther(t *testing.T) {
	_, onMemory := newSeed(t)
	onDisk := filepath.Join(t.TempDir(), "seed")
	if err := CreateNVSeed(onDisk); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, path       string
		processes, draws int
	}{
		{"on memory", onMemory, 8, 1000},
		{"on disk", onDisk, 4, 50}, // a draw takes longer there, so it is harder to get a turn
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.name == "on memory" && !strings.HasPrefix(c.path, "/dev/shm") {
				c.draws = 50 // it is a disk as well
			}
			var mu sync.Mutex
			seen := map[string]bool{}
			var wg sync.WaitGroup
			for range c.processes {
				wg.Go(func() {
					cmd := seedHelper(t, "draw", c.path, strconv.Itoa(c.draws))
					out, err := cmd.Output()
					if err != nil {
						t.Error(err)
					}
					mu.Lock()
					defer mu.Unlock()
					for line := range strings.Lines(string(out)) {
						seen[line] = true
					}
				})
			}
			wg.Wait()
			if want := c.processes * c.draws; len(seen) != want {
				t.Errorf("%d distinct outputs of %d", len(seen), want)
			}
			openSeed(t, c.path)
			if got := strings.Join(folder(t, filepath.Dir(c.path)), " "); got != "seed seed.lock" {
				t.Errorf("the folder holds %s", got)
			}
		})
	}
}

// Nobody keeps the others out by drawing again and again.
func TestNVSeedEverybodyGetsATurn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "seed")
	if err := CreateNVSeed(path); err != nil {
		t.Fatal(err)
	}
	s := openSeed(t, path)
	for range 2 {
		cmd := seedHelper(t, "draw", path, "1000000")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { cmd.Process.Kill(); cmd.Wait() }()
	}
	stop := make(chan bool)
	var wg sync.WaitGroup
	for range 2 { // and in this process, where the disk is slow
		busy := *s
		busy.step = func(step string) {
			if step == "written" {
				time.Sleep(40 * time.Millisecond)
			}
		}
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				busy.Read(make([]byte, 48))
			}
		})
	}
	s.wait = 3 * time.Second
	start := time.Now()
	for range 10 {
		time.Sleep(5 * time.Millisecond) // so that the others have it
		if _, err := s.Read(make([]byte, 48)); err != nil {
			t.Error(err)
			break
		}
	}
	t.Logf("10 draws among others took %v", time.Since(start))
	close(stop)
	wg.Wait()
}

// Each round kills a process at each step; the next process goes on with what
// is there.
func TestNVSeedKilledAtEveryStep(t *testing.T) {
	rounds := 200
	if testing.Short() {
		rounds = 10
	}
	// Chains of their own, so that all processors have something to do.
	const chains = 4
	var wg sync.WaitGroup
	for chain := range chains {
		_, path := newSeed(t)
		wg.Go(func() {
			drawn := map[string]string{}
			for round := chain; round < rounds; round += chains {
				for i, step := range drawSteps {
					before := (round + i) % 3
					where := fmt.Sprintf("round %d, killed at %q after %d draws", round, step, before)
					out, err := seedHelper(t, "die", path, step, strconv.Itoa(before)).Output()
					if status, ok := err.(*exec.ExitError); !ok || status.ExitCode() == seedHelperFailed {
						t.Errorf("%s: %v", where, err)
						return
					}
					want := before
					if step == "handed out" {
						want++
					}
					if n := bytes.Count(out, []byte("\n")); n != want {
						t.Errorf("%s: %d outputs", where, n)
					}
					for line := range strings.Lines(string(out)) {
						if first, ok := drawn[line]; ok {
							t.Errorf("%s: an output of %s again", where, first)
						}
						drawn[line] = where
					}
					seed := mustReadFile(t, path)
					if len(seed) != nvSeedLen || blank(seed) {
						t.Errorf("%s: the file holds %d bytes", where, len(seed))
					}
				}
			}
		})
	}
	wg.Wait()
}

// The same at any moment, also within a system call.
func TestNVSeedKilledAtAnyMoment(t *testing.T) {
	_, path := newSeed(t)
	drawn := map[string]bool{}
	for round := range 40 {
		cmd := seedHelper(t, "draw", path, "1000000")
		pipe, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		r := bufio.NewReader(pipe)
		first, err := r.ReadString('\n') // it is at work
		if err != nil {
			t.Error(err)
		}
		time.Sleep(time.Duration(round) * 300 * time.Microsecond)
		cmd.Process.Kill()
		rest, _ := io.ReadAll(r)
		cmd.Wait()
		lines := strings.SplitAfter(first+string(rest), "\n")
		for _, line := range lines[:len(lines)-1] { // the last may be half a line
			if drawn[line] {
				t.Fatalf("round %d: an output again", round)
			}
			drawn[line] = true
		}
		if n := len(mustReadFile(t, path)); n != nvSeedLen {
			t.Fatalf("round %d: the file holds %d bytes", round, n)
		}
	}
	if len(drawn) < 40 {
		t.Errorf("%d outputs in 40 rounds", len(drawn))
	}
	mustDraw(t, openSeed(t, path), 48, "")
}

// The lock belongs to the process, so a dead one has none, whatever it left running.
func TestNVSeedLockOfADeadProcessIsGone(t *testing.T) {
	s, path := newSeed(t)
	cmd := holdSeed(t, path, "derived")
	s.wait = 100 * time.Millisecond
	_, err := s.Read(make([]byte, 48))
	if err == nil || !strings.Contains(err.Error(), "lock "+path+".lock: held by ") || !strings.Contains(err.Error(), "for more than 100ms") {
		t.Errorf("while a process holds the lock: %v", err)
	}
	cmd.Process.Kill()
	cmd.Wait()
	mustDraw(t, s, 48, "")
}
