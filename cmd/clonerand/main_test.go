package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/clonerand/rand"
)

// program builds the real binary, once.
func program(t *testing.T) string {
	t.Helper()
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var binaryFolder string // removed by TestMain

var build = sync.OnceValues(func() (string, error) {
	path := filepath.Join(binaryFolder, "clonerand")
	if runtime.GOOS == "windows" {
		path += ".exe"
	}
	out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	if helper, ok := helpers[os.Getenv("CLONERAND_TEST_HELPER")]; ok {
		helper()
		os.Exit(0)
	}
	var err error
	if binaryFolder, err = os.MkdirTemp("", "clonerand"); err != nil {
		panic(err)
	}
	status := m.Run()
	os.RemoveAll(binaryFolder)
	os.Exit(status)
}

// helpers are what the test binary does instead of testing when a test runs it as another process.
var helpers = map[string]func(){
	"generation": func() { // prints it for each line that it gets
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			fmt.Println(rand.Generation())
		}
	},
}

func TestWrongArgumentsGetTheUsageAndStatus2(t *testing.T) {
	for _, c := range []struct {
		args string // separated by spaces
		why  string
	}{
		{"frobnicate", `unknown command "frobnicate"`},
		{"-x", `unknown command "-x"`},
		{"read -x", "flag provided but not defined: -x"},
		{"read 64", `unexpected argument "64"`},
		{"read -n", "flag needs an argument: -n"},
		{"read -n many", "not a size such as 64, 64K or 1G"},
		{"signal", ""},
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
			if got := stderr.String(); !strings.Contains(got, c.why) || !strings.Contains(got, "usage: clonerand") {
				t.Errorf("standard error: %s\nwant the usage and %q", got, c.why)
			}
		})
	}
}

func TestHelpGoesToStandardOutput(t *testing.T) {
	for _, args := range []string{"help", "-h", "--help", "read -h", "signal help", "signal -h", "signal bump -h"} {
		var stdout, stderr bytes.Buffer
		if status := run(strings.Fields(args), &stdout, &stderr); status != 0 || stderr.Len() > 0 ||
			!strings.HasPrefix(stdout.String(), "usage: clonerand") {
			t.Errorf("%s: status %d, output %q, errors %q", args, status, &stdout, &stderr)
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
