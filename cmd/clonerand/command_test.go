package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestWrongArgumentsGetTheUsageAndStatus2(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, c := range []struct {
		args string // separated by spaces
		why  string
	}{
		{"frobnicate", `unknown command "frobnicate"`},
		{"-x", "flag provided but not defined: -x"},
		{"help frobnicate", `no help for "frobnicate"`},
		{"help seed create FILE", `no help for "FILE"`},
		{"help read -n 5", `no help for "-n"`},
		{"version 1", `unexpected argument "1"`},
		{"read -x", "flag provided but not defined: -x"},
		{"read 64", `unexpected argument "64"`},
		{"read help", `unexpected argument "help"`},
		{"read -n", "flag needs an argument: -n"},
		{"read -n many", "not a size such as 64, 64K or 1G"},
		{"seed", "clonerand seed wants a command after it"},
		{"seed create", "clonerand seed create wants "},
		{"seed create -x FILE", "flag provided but not defined: -x"},
		{"seed create FILE FILE2", `unexpected argument "FILE2"`},
		{"seed create FILE -h", `unexpected argument "-h"`},
		{"seed destroy FILE", `unknown command "destroy"`},
		{"seed -x create FILE", "flag provided but not defined: -x"},
		{"signal", "clonerand signal wants a command after it"},
		{"signal frobnicate", `unknown command "frobnicate"`},
		{"signal init -x", "flag provided but not defined: -x"},
		{"signal init FILE FILE2", `unexpected argument "FILE2"`},
		{"signal bump FILE -id 00", `unexpected argument "-id"`},
		{"signal bump -id 0", "pairs of hexadecimal digits"},
		{"signal bump -id xy", "pairs of hexadecimal digits"},
		{"signal bump -id -", "pairs of hexadecimal digits"},
		{"signal bump -id 00 -id-file F", "exclude each other"},
		{"signal status FILE FILE2", `unexpected argument "FILE2"`},
	} {
		t.Run(c.args, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			if status := run(strings.Fields(c.args), &stdout, &stderr); status != 2 {
				t.Errorf("exit status %d, want 2", status)
			}
			if stdout.Len() > 0 {
				t.Errorf("standard output: %s", &stdout)
			}
			if got := stderr.String(); !strings.HasPrefix(got, "clonerand: ") || !strings.Contains(got, c.why) ||
				!strings.Contains(got, "\nusage: clonerand") {
				t.Errorf("standard error: %s\nwant the usage and %q", got, c.why)
			}
		})
	}
	if made, _ := os.ReadDir("."); len(made) > 0 {
		t.Errorf("wrong arguments made %v", made)
	}
}

// Every command of the table, in every way that help can be asked for: the same text each time, on standard output.
func TestHelpIsTheSameEverywhere(t *testing.T) {
	t.Chdir(t.TempDir())
	help := func(args ...string) string {
		t.Helper()
		var stdout, stderr bytes.Buffer
		if status := run(args, &stdout, &stderr); status != 0 || stderr.Len() > 0 {
			t.Errorf("%q: status %d, errors %q", args, status, &stderr)
		}
		return stdout.String()
	}
	var walk func(path []string, c *command)
	walk = func(path []string, c *command) {
		with := func(before []string, more ...string) []string {
			return append(before[:len(before):len(before)], more...)
		}
		want := help(with(path, "-h")...)
		asked := [][]string{with(path, "-help"), with(path, "--help"), with([]string{"help"}, path...), with(with([]string{"help"}, path...), "-h")}
		if c.sub != nil {
			asked = append(asked, with(path, "help"))
		}
		if len(path) > 1 {
			asked = append(asked, with(with(path[:1], "help"), path[1:]...))
		}
		for _, args := range asked {
			if got := help(args...); got != want {
				t.Errorf("%q: another help:\n%s\nwant\n%s", args, got, want)
			}
		}
		if !strings.HasPrefix(want, "usage: "+strings.Join(append([]string{"clonerand"}, path...), " ")) {
			t.Errorf("%q: the help is\n%s", path, want)
		}
		for i, line := range strings.Split(want, "\n") {
			if len(line) > 130 || strings.TrimSpace(line) == "" && line != "" {
				t.Errorf("%q: line %d of the help is %q", path, i+1, line)
			}
		}
		for _, sub := range c.sub {
			if !strings.Contains(want, "\n"+sub.name+" ") || !strings.Contains(want, sub.short) || sub.short == "" {
				t.Errorf("%q: the help does not list %s", path, sub.name)
			}
			walk(with(path, sub.name), sub)
		}
	}
	walk(nil, &command{sub: commands})
	if made, _ := os.ReadDir("."); len(made) > 0 {
		t.Errorf("asking for help made %v", made)
	}
}

func TestAnErrorHasThePrefixOnceAndItsOwnStatus(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
		want   string
	}{
		{nil, 0, ""},
		{errors.New("no room"), 1, "clonerand: no room\n"},
		{errors.New("clonerand: seed: no room"), 1, "clonerand: seed: no room\n"},
		{fmt.Errorf("so: %w", &exitStatus{3, errors.New("nothing was compared")}), 3, "clonerand: so: nothing was compared\n"},
		{&exitStatus{status: 42}, 42, ""},
	} {
		var stderr bytes.Buffer
		if status := exitCode(c.err, &stderr); status != c.status || stderr.String() != c.want {
			t.Errorf("%v: status %d, %q, want %d, %q", c.err, status, &stderr, c.status, c.want)
		}
	}
}

func TestTheRealProgramReturnsTheStatus(t *testing.T) {
	for args, want := range map[string]int{"help": 0, "frobnicate": 2, "read -n 0": 0, "signal bump -id-file " + filepath.Join(t.TempDir(), "no"): 1} {
		cmd := exec.Command(program(t), strings.Fields(args)...)
		out, _ := cmd.CombinedOutput()
		if got := cmd.ProcessState.ExitCode(); got != want {
			t.Errorf("clonerand %s: status %d, want %d\n%s", args, got, want, out)
		}
	}
}

// Whatever the real program prints: where it cannot be written the status is 1, and standard error says why. Work that
// was done is not undone.
func TestAFullOutputIsAnError(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("no /dev/full")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	dir := t.TempDir()
	seed, generation := filepath.Join(dir, "seed"), filepath.Join(dir, "generation")
	all := []string{"", "help", "help seed", "signal bump -h", "read -h", "read -n 10", "read -n 10 -hex", "read", "version",
		"seed create " + seed, "seed check " + seed, "seed advance " + seed}
	if runtime.GOOS == "linux" {
		all = append(all, "signal init "+generation, "signal init "+generation, "signal bump "+generation, "signal status", "signal status "+generation)
	}
	for _, args := range all {
		var stderr bytes.Buffer
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second) // read alone would never end
		cmd := exec.CommandContext(ctx, program(t), strings.Fields(args)...)
		cmd.Stdout, cmd.Stderr = full, &stderr
		if cmd.Run(); cmd.ProcessState.ExitCode() != 1 || strings.Count(stderr.String(), "no space left") != 1 {
			t.Errorf("clonerand %s: %v, %s", args, cmd.ProcessState, &stderr)
		}
		cancel()
	}
}
