//go:build unix

package main

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A folder that others can write to could hold a go command of theirs.
func TestGoRefusesAPlantedTree(t *testing.T) {
	s := newScene(t)
	cache := t.TempDir()
	s.env = append(s.env, "XDG_CACHE_HOME="+cache, "HOME="+cache, "GOCACHE="+goCache(t), "GOMODCACHE="+goModCache(t))
	folder := filepath.Join(cache, "clonerand")
	if runtime.GOOS == "darwin" {
		folder = filepath.Join(cache, "Library", "Caches", "clonerand")
	}
	if out, errs, status := s.run("version"); status != 0 {
		t.Fatalf("%s%s", out, errs)
	}
	trees, _ := filepath.Glob(filepath.Join(folder, "go*"))
	if len(trees) != 1 {
		t.Fatalf("no tree in %s", folder)
	}
	if err := os.Remove(filepath.Join(trees[0], "bin", "go")); err != nil {
		t.Fatal(err)
	}
	s.refused("does not run: go env: fork/exec", "version") // as after a crash of the machine
	s.refused("remove "+trees[0]+", or", "version")
	if err := os.WriteFile(filepath.Join(trees[0], "bin", "go"), []byte("#!/bin/sh\necho owned\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(folder, 0o770); err != nil {
		t.Fatal(err)
	}
	s.refused("what is in it would be run, so it is not used", "version")
}

// A go command that runs this one would be run by it, and so on without end.
func TestAGoThatRunsClonerandIsRefused(t *testing.T) {
	s := newScene(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "go"), []byte("#!/bin/sh\nexec \""+s.path+"\" go \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	s.env = append(s.env, "PATH="+dir+":"+os.Getenv("PATH"))
	s.refused(filepath.Join(dir, "go")+" runs clonerand", "version")
}

// It copies some 250 MB, so the signal comes in time.
func TestGorootThatIsStoppedLeavesNothing(t *testing.T) {
	s := newScene(t)
	parent := t.TempDir()
	cmd := exec.Command(s.path, "goroot", filepath.Join(parent, "go"))
	cmd.Env = s.env
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if there, _ := os.ReadDir(parent); len(there) > 0 {
			break
		}
	}
	cmd.Process.Signal(syscall.SIGTERM)
	cmd.Wait()
	if cmd.ProcessState.ExitCode() != 1 || !strings.Contains(errs.String(), "stopped by a signal") {
		t.Errorf("%v: %s", cmd.ProcessState, &errs)
	}
	if left, err := os.ReadDir(parent); len(left) > 0 || err != nil {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// Where there is no home, the tree is beside the build cache.
func TestGoWithoutAHome(t *testing.T) {
	s := newScene(t)
	cache := filepath.Join(t.TempDir(), "go-build")
	s.env = append(s.env, "XDG_CACHE_HOME=", "HOME=", "GOCACHE="+cache, "GOMODCACHE="+goModCache(t), "GOPATH="+goEnv(t, "GOPATH"))
	if out, errs, _ := s.run("env", "GOROOT"); !isBelow(strings.TrimSpace(out), filepath.Join(cache, "clonerand")) {
		t.Errorf("%s%s", out, errs)
	}
	s.env = append(s.env, "GOCACHE=off")
	s.refused("no place for a patched tree", "env", "GOROOT")
}

// The go command has taken this command's place: what is sent to the process goes to it.
func TestSignalsReachTheGoCommand(t *testing.T) {
	s := newScene(t)
	s.write("main.go", `package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	_ "github.com/clonerand/rand"
)

func main() {
	text, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "SigIgn:") {
			fmt.Print(line)
		}
	}
	fmt.Println("ready", tag)
	io.Copy(io.Discard, os.Stdin)
}
`)
	cmd := exec.Command(s.path, "go", "run", ".")
	cmd.Dir, cmd.Env = s.dir, s.env
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		if ignored, ok := strings.CutPrefix(lines.Text(), "SigIgn:"); ok && strings.TrimSpace(ignored) != ignoredHere(t) {
			t.Errorf("the program ignores the signals of the mask %s", ignored)
		}
		if strings.HasPrefix(lines.Text(), "ready") {
			break
		}
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	stdin.Close() // which ends the program that the go command has started
	cmd.Wait()
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() || status.Signal() != syscall.SIGTERM {
		t.Errorf("it ended with %v, not by SIGTERM", cmd.ProcessState)
	}
}

// ignoredHere is the mask of the signals that this process ignores: under nohup there is one.
func ignoredHere(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if mask, ok := strings.CutPrefix(line, "SigIgn:"); ok {
			return strings.TrimSpace(mask)
		}
	}
	return ""
}
