package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/clonerand/rand/internal/probe"
)

// probeRun starts the real command, and returns its standard input and what waits for it.
func probeRun(t *testing.T, args ...string) (stdin io.WriteCloser, wait func() string) {
	t.Helper()
	cmd := exec.Command(program(t), append([]string{"probe", "run"}, args...)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return stdin, func() string {
		t.Helper()
		if err := cmd.Wait(); err != nil {
			t.Fatalf("probe run: %v\n%s", err, &out)
		}
		return out.String()
	}
}

func openProbe(t *testing.T, name string) *probe.File {
	t.Helper()
	f, img, err := readProbe(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range img.Logs {
		if l.Count == 0 {
			t.Errorf("%s: no reads of %s", name, l.Name)
		}
	}
	return f
}

func TestProbeRunEndsAtEnterAndByTime(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "my.probe")
	stdin, wait := probeRun(t, "-o", name)
	time.Sleep(300 * time.Millisecond)
	fmt.Fprintln(stdin)
	if out := wait(); !strings.Contains(out, name+": written") {
		t.Errorf("it says: %s", out)
	}
	f := openProbe(t, name)

	// Without a line on standard input it is the time; and no file is written over.
	stdin, wait = probeRun(t, "-o", name, "-for", "200ms", "-keys")
	stdin.Close()
	second := filepath.Join(dir, "my-2.probe")
	if out := wait(); !strings.Contains(out, second+": written") {
		t.Errorf("it says: %s", out)
	}
	g := openProbe(t, second)
	if f.Run == g.Run {
		t.Error("two runs have the same name")
	}
	if len(g.Logs) != len(f.Logs)+2 {
		t.Errorf("%d generators without keys, %d with", len(f.Logs), len(g.Logs))
	}
}

// It says so at the start, and not when the snapshot has been taken.
func TestProbeRunSaysWhereItCannotWrite(t *testing.T) {
	dir := t.TempDir()
	notFolder := filepath.Join(dir, "file")
	if err := os.WriteFile(notFolder, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"", dir, dir + string(filepath.Separator), os.DevNull, filepath.Join(dir, "no", "file"), filepath.Join(notFolder, "file"),
		filepath.Join(dir, strings.Repeat("long", 100)),
	} {
		var stdout, stderr bytes.Buffer
		status := run([]string{"probe", "run", "-for", "1ms", "-o", name}, &stdout, &stderr)
		if status != 1 || !strings.Contains(stderr.String(), name) || stdout.Len() > 0 {
			t.Errorf("%q: status %d: %s%s", name, status, &stdout, &stderr)
		}
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("it leaves %v", left)
	}
}

func TestACounterThatWentBackIsNoLongTime(t *testing.T) {
	before, after := uint64(2_000_005), uint64(5)
	if got := inTime(after-before, 1e9); got != -2*time.Millisecond {
		t.Errorf("%v", got)
	}
}

// clonesOf returns the files of two clones, which read this after the restore.
func clonesOf(t *testing.T, after ...map[string][]string) (names []string) {
	t.Helper()
	for k, reads := range after {
		specs := []probe.Spec{probeSpec("clonerand", true), probeSpec("crypto/rand", false), probeSpec(probe.Control, false)}
		region, err := probe.New(make([]byte, probe.Size(specs)), specs)
		if err != nil {
			t.Fatal(err)
		}
		f := &probe.File{Run: fmt.Sprint(after[k]["run"]), Rate: 1e9, Used: true, Events: []probe.Event{{Name: "vmclock", At: 7, Detail: "1"}}}
		for i, l := range region.Logs {
			for n := range uint64(1000) {
				copy(l.Begin(n*100, 16), fmt.Sprint(i, "before", n))
				l.End(n*100 + 10)
			}
			for n, value := range append([]string{fmt.Sprint(i, "first of", k)}, reads[specs[i].Name]...) {
				at := uint64(2e9) + uint64(k*1e6+n*100)
				copy(l.Begin(at, 16), value)
				l.End(at + 10)
			}
		}
		if k == 1 {
			f.Events = append(f.Events, probe.Event{Name: "vmclock", At: 2.5e9, Detail: "2\x1b[2J"})
		}
		img, err := region.Image()
		if err != nil {
			t.Fatal(err)
		}
		f.SetLogs(img)
		name := filepath.Join(t.TempDir(), fmt.Sprint("clone", k))
		out, err := os.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Write(out); err != nil {
			t.Fatal(err)
		}
		out.Close()
		names = append(names, name)
	}
	return names
}

func TestProbeCompareSaysByItsStatusWhatTheFilesShow(t *testing.T) {
	reads := func(ours, system, control string) map[string][]string {
		return map[string][]string{"clonerand": {ours, ours + "2"}, "crypto/rand": {system}, probe.Control: {control}}
	}
	good := clonesOf(t, reads("a", "s", "c"), reads("b", "s", "c"))
	noFile, broken := filepath.Join(t.TempDir(), "none"), filepath.Join(t.TempDir(), "broken")
	whole, _ := os.ReadFile(good[0])
	os.WriteFile(broken, whole[:len(whole)/2], 0o644)
	empty := filepath.Join(t.TempDir(), "empty")
	out, _ := os.Create(empty)
	new(probe.File).Write(out)
	out.Close()
	for _, c := range []struct {
		what   string
		files  []string
		status int
		word   string
	}{
		{"clones that differ", good, 0, "repeats, as it must"},
		{"the package repeats", clonesOf(t, reads("a", "s", "c"), reads("a", "s", "c")), 1, "please report"},
		{"no file", []string{good[0], noFile}, 2, noFile},
		{"half a file", []string{good[0], broken}, 2, broken},
		{"a file without reads", []string{empty, empty}, 2, "no reads of clonerand"},
		{"one clone alone", good[:1], 2, "FILE FILE"},
		{"clones of two runs", clonesOf(t, reads("a", "s", "c"), map[string][]string{"run": {"two"}}), 3, "two runs"},
		{"a file with itself", []string{good[0], good[0]}, 3, "do not differ"},
		{"one of two clones twice", []string{good[0], good[1], good[0]}, 3, "twice"},
		{"the control differs", clonesOf(t, reads("a", "s", "c"), reads("b", "s", "d")), 4, "did not repeat"},
	} {
		var stdout, stderr bytes.Buffer
		status := run(append([]string{"probe", "compare"}, c.files...), &stdout, &stderr)
		if status != c.status || strings.Contains(stdout.String(), "\x1b") || !strings.Contains(stdout.String()+stderr.String(), c.word) {
			t.Errorf("%s: status %d, want %d and %q\n%q%s", c.what, status, c.status, c.word, &stdout, &stderr)
		}
	}
}

// fullDisk and closedPipe take nothing.
type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space") }

type closedPipe struct{}

func (closedPipe) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// A status of 1 says that the package repeats, and nothing else; 0 that it does not.
func TestProbeCompareHasItsStatusAlsoWhereNobodyReads(t *testing.T) {
	reads := func(ours, control string) map[string][]string {
		return map[string][]string{"clonerand": {ours}, probe.Control: {control}}
	}
	good := clonesOf(t, reads("a", "c"), reads("b", "c"))
	repeats := clonesOf(t, reads("a", "c"), reads("a", "c"))
	nothing := clonesOf(t, reads("a", "c"), reads("b", "d"))
	for _, c := range []struct {
		files  []string
		stdout io.Writer
		status int
	}{
		{good, closedPipe{}, 0}, {good, fullDisk{}, 2},
		{repeats, closedPipe{}, 1}, {repeats, fullDisk{}, 1},
		{nothing, closedPipe{}, 4}, {nothing, fullDisk{}, 4},
	} {
		for _, args := range [][]string{c.files, append([]string{"-json"}, c.files...)} {
			var stderr bytes.Buffer
			if status := run(append([]string{"probe", "compare"}, args...), c.stdout, &stderr); status != c.status {
				t.Errorf("%T: status %d, want %d: %s", c.stdout, status, c.status, &stderr)
			}
		}
	}
}

func TestProbeCompareSaysWhatItSawAsJSON(t *testing.T) {
	reads := func(ours string) map[string][]string {
		return map[string][]string{"clonerand": {"1" + ours, "2" + ours}, "crypto/rand": {"1", "2"}, probe.Control: {"1", "2"}}
	}
	files := clonesOf(t, reads("a"), reads("b"))
	var stdout, stderr bytes.Buffer
	if status := run([]string{"probe", "compare", "-json", files[0], files[1]}, &stdout, &stderr); status != 0 {
		t.Fatalf("status %d: %s", status, &stderr)
	}
	var r result
	if err := json.Unmarshal(stdout.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	// The last read before the restore ends at 99,910.
	if p := r.Clones[0].PauseSeconds; p < 1.99989 || p > 1.99991 {
		t.Errorf("pause of %v s", p)
	}
	for _, name := range strings.Fields("Clones File PauseSeconds FirstReadUsecs Signals Detail AfterSeconds Version Started Ended " +
		"Counter CounterRate CounterUsed Machine System CPU Hypervisor Protection Generators Name Reads Equal") {
		if !bytes.Contains(stdout.Bytes(), []byte(`"`+name+`": `)) {
			t.Errorf("no %s in %s", name, &stdout)
		}
	}
	if bytes.Contains(stdout.Bytes(), []byte(`"Signals": null`)) {
		t.Error("a list is null")
	}
	if len(r.Clones[0].Signals) != 0 || len(r.Clones[1].Signals) != 1 || r.Clones[1].Signals[0].AfterSeconds < 0.49 {
		t.Errorf("signals: %v", r.Clones)
	}
	if g := r.generator("crypto/rand"); g.Equal != 2 || g.Reads != 3 || r.generator("clonerand").Equal != 0 {
		t.Errorf("generators: %v", r.Generators)
	}
}
