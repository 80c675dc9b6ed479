package main

import (
	"context"
	"errors"
	"os/exec"
	"path/filepath"
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
