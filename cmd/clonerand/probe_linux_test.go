package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// In the background of a shell, where who reads the terminal is stopped, the probe goes on; brought to the foreground, it
// still ends at Enter.
func TestProbeRunGoesOnInTheBackgroundOfATerminal(t *testing.T) {
	for what, script := range map[string]string{
		"in the background": `set -m; "$0" probe run -for 300ms -o "$1" & wait $!`,
		"brought back":      `set -m; "$0" probe run -o "$1" & sleep 1; fg`,
	} {
		master, terminal := openTerminal(t)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		name := filepath.Join(t.TempDir(), "probe")
		cmd := exec.CommandContext(ctx, "sh", "-c", script, program(t), name)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal, terminal, terminal
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		terminal.Close()
		if what == "brought back" {
			late := time.AfterFunc(2*time.Second, func() { master.WriteString("\n") })
			defer late.Stop()
		}
		err := cmd.Wait()
		if out := readTerminal(t, master); err != nil || !strings.Contains(out, "written") {
			t.Errorf("%s: %v, it says: %s", what, err, out)
		}
	}
}

// Under nohup a terminal that is gone does not end it; and what comes on standard input, however long, takes no memory.
func TestProbeRunGoesOnUnderNohup(t *testing.T) {
	name := filepath.Join(t.TempDir(), "probe")
	cmd := exec.Command("sh", "-c", `trap "" HUP; exec "$0" probe run -o "$1" </dev/zero`, program(t), name)
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(20*time.Second, func() { cmd.Process.Kill() })
	defer late.Stop()
	lines := bufio.NewScanner(output)
	lines.Scan() // it records
	cmd.Process.Signal(syscall.SIGHUP)
	time.Sleep(time.Second)
	if _, err := os.Stat(name); err == nil {
		t.Error("it ended at SIGHUP")
	}
	cmd.Process.Signal(syscall.SIGTERM)
	for lines.Scan() {
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); !ok || usage.Maxrss > 200<<10 {
		t.Errorf("it took %d KiB of memory", usage.Maxrss)
	}
}

// A pause that is longer than -for is not the end. On one CPU who looks at the time goes first after it.
func TestProbeRunSeesThePauseThatIsLongerThanItsTime(t *testing.T) {
	runtime.LockOSThread() // ends with the test, as its affinity is what a child gets
	var all, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		t.Fatal(err)
	}
	for cpu := 0; one.Count() == 0; cpu++ {
		if all.IsSet(cpu) {
			one.Set(cpu)
		}
	}
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		t.Skip(err)
	}
	for range 3 {
		cmd := exec.Command(program(t), "probe", "run", "-for", "500ms", "-o", filepath.Join(t.TempDir(), "probe"))
		output, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stderr = cmd.Stdout
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		var longest time.Duration
		stopped := false
		for lines := bufio.NewScanner(output); lines.Scan(); {
			fmt.Fprintln(&out, lines.Text())
			value, ok := strings.CutPrefix(lines.Text(), "longest pause so far: ")
			if !ok {
				continue
			}
			longest, _ = time.ParseDuration(value)
			if !stopped { // it reads by now
				stopped = true
				cmd.Process.Signal(syscall.SIGSTOP)
				time.Sleep(700 * time.Millisecond)
				cmd.Process.Signal(syscall.SIGCONT)
			}
		}
		err = cmd.Wait()
		if err != nil || longest < 600*time.Millisecond {
			t.Errorf("stopped for 700 ms: %v, it says: %s", err, &out)
		}
	}
}

// A disk that is full leaves no half a file.
func TestProbeRunOnAFullDisk(t *testing.T) {
	const noDisk = 77
	cmd := exec.Command("sh", "-c", `mount -t tmpfs -o size=256k none "$1" || exit 77
cd "$1"; "$0" probe run -for 1ms; status=$?; ls; exit $status`, program(t), t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, syscall.EPERM) || cmd.ProcessState.ExitCode() == noDisk {
		t.Skipf("no file system can be mounted here: %v, %s", err, out)
	}
	said, _ := strings.CutSuffix(string(out), "no space left on device\n")
	if cmd.ProcessState.ExitCode() != 1 || said == string(out) || strings.Count(said, "nothing is saved: write") != 1 {
		t.Errorf("%v, it says and leaves:\n%s", err, out)
	}
}
