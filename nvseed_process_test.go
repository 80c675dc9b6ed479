//go:build unix

package rand

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const seedHelperEnv = "CLONERAND_TEST_SEED_HELPER"

// seedHelpers are what a process started by seedHelper does. Their stamp is
// frozen: if two draws from one seed were possible, they would be equal.
var seedHelpers = map[string]func(s *NVSeed, args []string) error{
	// draw N: N draws of 48 bytes, a line in hexadecimal each.
	"draw": func(s *NVSeed, args []string) error {
		n, err := strconv.Atoi(args[0])
		if err != nil {
			return err
		}
		w := bufio.NewWriter(os.Stdout)
		defer w.Flush()
		for out := make([]byte, 48); n > 0; n-- {
			if _, err := s.Read(out); err != nil {
				return err
			}
			fmt.Fprintf(w, "%x\n", out)
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
				unix.Kill(os.Getpid(), unix.SIGKILL)
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
var drawSteps = []string{"lock opened", "locked", "read", "derived", "removed", "created", "written", "synced", "closed", "renamed", "durable", "drawn", "handed out"}

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
		os.Exit(1)
	}
	os.Exit(0)
}

func seedHelper(t testing.TB, name, path string, args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], "-test.run=^TestSeedHelperProcess$")
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
	_, path := newSeed(t)
	const processes, draws = 8, 1000
	var mu sync.Mutex
	seen := map[string]bool{}
	var wg sync.WaitGroup
	for range processes {
		wg.Go(func() {
			cmd := seedHelper(t, "draw", path, strconv.Itoa(draws))
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
	if len(seen) != processes*draws {
		t.Errorf("%d distinct outputs of %d", len(seen), processes*draws)
	}
	openSeed(t, path)
	if got := strings.Join(folder(t, filepath.Dir(path)), " "); got != "seed seed.lock" {
		t.Errorf("the folder holds %s", got)
	}
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
					if status, ok := err.(*exec.ExitError); !ok || status.Sys().(interface{ Signal() unix.Signal }).Signal() != unix.SIGKILL {
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
		var out bytes.Buffer
		cmd.Stdout = &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(10+round) * time.Millisecond)
		cmd.Process.Kill()
		cmd.Wait()
		lines := strings.SplitAfter(out.String(), "\n")
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
	t.Logf("%d outputs", len(drawn))
	mustDraw(t, openSeed(t, path), 48, "")
}

// The lock belongs to the process, so a dead one has none, whatever it left running.
func TestNVSeedLockOfADeadProcessIsGone(t *testing.T) {
	s, path := newSeed(t)
	cmd := holdSeed(t, path, "derived")
	s.wait = 100 * time.Millisecond
	_, err := s.Read(make([]byte, 48))
	want := fmt.Sprintf("lock %s.lock: held by process %d for more than 100ms", path, cmd.Process.Pid)
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("while a process holds the lock: %v, want %q in it", err, want)
	}
	cmd.Process.Kill()
	cmd.Wait()
	mustDraw(t, s, 48, "")
}

func TestNVSeedStuckHoldersDoNotHoldUpOtherSeeds(t *testing.T) {
	a, pathA := newSeed(t)
	b, pathB := newSeed(t)
	c, _ := newSeed(t)
	for _, p := range []*exec.Cmd{holdSeed(t, pathA, "locked"), holdSeed(t, pathB, "synced")} {
		p.Process.Signal(unix.SIGSTOP)
	}
	var wg sync.WaitGroup
	for _, s := range []*NVSeed{a, b} {
		s.wait = 300 * time.Millisecond
		wg.Go(func() {
			start := time.Now()
			_, err := s.Read(make([]byte, 48))
			if took := time.Since(start); err == nil || !strings.Contains(err.Error(), s.path+".lock: held by process") || took > 3*time.Second {
				t.Errorf("after %v: %v", took, err)
			}
		})
	}
	start := time.Now()
	for range 10 {
		mustDraw(t, c, 48, "")
	}
	if took := time.Since(start); took > 250*time.Millisecond {
		t.Errorf("another seed took %v meanwhile", took)
	}
	wg.Wait()
}

func TestNVSeedLockFileMayBeRemoved(t *testing.T) {
	s, path := newSeed(t)
	opened, locked := 0, false
	s.step = func(step string) {
		switch step {
		case "lock opened":
			if opened++; opened <= 3 {
				os.Remove(path + ".lock")
			}
		case "locked":
			locked = true
			// A lock on a file without a name would keep nobody out.
			if _, err := seedHelper(t, "try", path).Output(); err == nil {
				t.Error("another process draws at the same time")
			}
		}
	}
	mustDraw(t, s, 48, "")
	if opened != 4 || !locked {
		t.Errorf("tried %d times", opened)
	}
}
