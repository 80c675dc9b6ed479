package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The table and the charts are those of the machines that are stored.
func TestResultsAreWhatTheMachinesGive(t *testing.T) {
	out := t.TempDir()
	if err := os.CopyFS(filepath.Join(out, "machines"), os.DirFS("machines")); err != nil {
		t.Fatal(err)
	}
	if err := writeResults(out); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"results.md", "throughput.svg", "read16.svg"} {
		want, err := os.ReadFile(filepath.Join(out, name))
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := os.ReadFile(name); string(got) != string(want) {
			t.Errorf("%s is another; run: go run . -show", name)
		}
	}
}

// A run replaces the figures of its own kind of CPU and leaves the others.
func TestARunReplacesItsOwnKind(t *testing.T) {
	out := t.TempDir()
	if err := os.CopyFS(filepath.Join(out, "machines"), os.DirFS("machines")); err != nil {
		t.Fatal(err)
	}
	before, err := loadMachines("")
	if err != nil {
		t.Fatal(err)
	}
	m := newMachine()
	m.CPU, m.Date = "Intel(R) Xeon(R) Processor of the test", "2999-01-02"
	for _, r := range before[0].Alone {
		r.NS = map[string]float64{}
		for _, size := range sizes {
			r.NS[sizeName(size)] = float64(size)
		}
		m.Alone, m.Pair = append(m.Alone, r), append(m.Pair, r)
	}
	if err := m.save(out); err != nil {
		t.Fatal(err)
	}
	after, err := loadMachines(out)
	if err != nil {
		t.Fatal(err)
	}
	if after[0].Date != m.Date || after[0].title() != "Intel Xeon of the test" {
		t.Errorf("the latest is %s of %s", after[0].title(), after[0].Date)
	}
	text := markdown(after)
	if _, err := os.Stat(filepath.Join("machines", kind()+".json")); err == nil && len(after) != len(before) {
		t.Errorf("%d machines, were %d", len(after), len(before))
	}
	for _, old := range before {
		if replaced, _ := filepath.Match("*"+kind()+"*", strings.ToLower(old.CPU)); !replaced && !strings.Contains(text, old.title()) {
			t.Errorf("%s is gone", old.title())
		}
	}
	if err := charts(after, out); err != nil {
		t.Error(err)
	}
}
