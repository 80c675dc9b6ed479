package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"
)

// A machine is one file of the folder machines: what was measured there, on one day. There is one for each kind of CPU,
// and a run replaces that of its own kind; the others stay until somebody measures there again.
type machine struct {
	CPU     string
	Date    string // 2026-11-25
	System  string // toolchain and platform
	Frand   string `json:",omitempty"` // its version
	Carried string `json:",omitempty"` // where the figures come from, if not from one run of this program

	Alone, Pair, Resistant []measured
	Ratios                 map[string]string `json:",omitempty"` // for figures carried over: of ratios only these are known
}

// measured is one generator's time for a Read of each size, in nanoseconds.
type measured struct {
	Who     string
	NS      map[string]float64
	Notices string `json:",omitempty"`
}

func newMachine() *machine {
	return &machine{
		CPU: cpuInfo("model name"), Date: time.Now().Format(time.DateOnly), Frand: moduleVersion("lukechampine.com/frand"),
		System: fmt.Sprintf("%s, %s/%s, %d CPUs", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU()),
	}
}

// kind names the machine's file.
func kind() string {
	switch vendor := cpuInfo("vendor_id"); vendor {
	case "GenuineIntel":
		return "intel"
	case "AuthenticAMD":
		return "amd"
	default:
		return runtime.GOOS + "-" + runtime.GOARCH
	}
}

// cpuInfo is what Linux says of the CPU.
func cpuInfo(key string) string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return "CPU unknown"
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if k, value, ok := strings.Cut(s.Text(), ":"); ok && strings.TrimSpace(k) == key {
			return strings.TrimSpace(value)
		}
	}
	return "CPU unknown"
}

func (g *grid) measured() (all []measured) {
	for i, p := range g.peers {
		m := measured{Who: p.name, NS: make(map[string]float64), Notices: p.clones}
		for j, size := range sizes {
			m.NS[sizeName(size)] = g.ns[i][j]
		}
		all = append(all, m)
	}
	return all
}

// version is at the end of the names of C libraries.
var version = regexp.MustCompile(` v?[0-9][0-9.a-z]*$`)

// find is what a generator, in whatever version, takes; 0 where nobody knows.
func findNS(all []measured, who, size string) float64 {
	for _, m := range all {
		if version.ReplaceAllString(m.Who, "") == version.ReplaceAllString(who, "") {
			return m.NS[size]
		}
	}
	return 0
}

func (m *machine) save(dir string) error {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	e.SetIndent("", "\t")
	if err := e.Encode(m); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "machines", kind()+".json"), text.Bytes(), 0o644)
}

// loadMachines returns those measured in one run first, and of them the latest first.
func loadMachines(dir string) (all []*machine, err error) {
	files, err := filepath.Glob(filepath.Join(dir, "machines", "*.json"))
	if err == nil && len(files) == 0 {
		err = errors.New("the folder machines is empty")
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		m := new(machine)
		if err := json.Unmarshal(text, m); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		all = append(all, m)
	}
	slices.SortStableFunc(all, func(a, b *machine) int {
		if (a.Carried == "") != (b.Carried == "") {
			return len(a.Carried) - len(b.Carried)
		}
		return strings.Compare(b.Date, a.Date)
	})
	return all, err
}
