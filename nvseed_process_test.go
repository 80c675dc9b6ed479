package rand

import (
	"bufio"
	"bytes"
	"context"
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
)

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

// rerun runs the test again, alone, in a process with env in its environment,
// and takes over its result.
func rerun(t *testing.T, env string, options ...func(*exec.Cmd)) {
	t.Helper()
	cmd := testBinary(t.Context(), "-test.v", "-test.run=^"+t.Name()+"$")
	// The race detector would wait for a second before each end.
	cmd.Env = append(os.Environ(), env, "GORACE=atexit_sleep_ms=0")
	for _, o := range options {
		o(cmd)
	}
	out, err := cmd.CombinedOutput()
	switch {
	case err != nil && !bytes.Contains(out, []byte("=== RUN")):
		t.Skipf("this machine does not start such a process: %v", err)
	case err != nil:
		t.Errorf("%v\n%s", err, out)
	case bytes.Contains(out, []byte("--- SKIP")):
		t.Skipf("%s", out)
	case !bytes.Contains(out, []byte("--- PASS")):
		t.Errorf("the test did not run:\n%s", out)
	}
}
