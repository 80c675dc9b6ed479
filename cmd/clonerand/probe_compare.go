package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/clonerand/rand/internal/probe"
)

var probeCompareCommand = &command{
	name:  "compare",
	args:  "[-json] FILE FILE...",
	short: "find what the clones that wrote these files have in common",
	long: `The files are of clones of one snapshot; the machine that went on after the snapshot is one, too. The first counter value
that differs is the place of the restore. What was read before it is in all files, and does not count; neither does the
one read that was under way.

The exit status is 0 where this package did not repeat; 1 where it did; 2 where a file cannot be used, or the result not
be printed; 3 where the files show no restore; 4 where the control, plain AES-CTR, did not repeat, so that nothing was
shown.
`,
	least: 2, most: -1,
	start: func(flags *flag.FlagSet) action {
		asJSON := flags.Bool("json", false, "print the result as JSON, with what the machines say of themselves")
		return func(args []string, stdout, stderr io.Writer) error {
			r, err := compareProbes(args)
			if err != nil {
				return err
			}
			if *asJSON {
				e := json.NewEncoder(stdout)
				e.SetIndent("", "\t")
				err = e.Encode(r)
			} else {
				err = r.print(stdout)
			}
			if status := r.status(); status != nil { // also where nobody reads the table to its end
				return status
			}
			if err != nil {
				return &exitStatus{2, err} // 1 says that the package repeats
			}
			return nil
		}
	},
}

// A result is what the comparison of the files has shown. Other programs read its names as JSON: they may become more, but
// none may change.
type result struct {
	Clones     []cloneResult
	Generators []generatorResult
}

type cloneResult struct {
	File           string
	PauseSeconds   float64 // from the last read before the restore to the end of the first after it
	FirstReadUsecs float64 // what the first whole Read of the package after the restore took
	Signals        []signalResult
	Version        string
	Started, Ended time.Time // of the run
	Counter        string
	CounterRate    uint64
	CounterUsed    bool // by the package
	Machine        probe.Machine
}

type signalResult struct {
	Name, Detail string
	AfterSeconds float64 // found so long after the restore, by the clone's counter
}

type generatorResult struct {
	Name  string
	Reads int // compared, of the clone with the fewest
	Equal int
}

func compareProbes(names []string) (*result, error) {
	var files []*probe.File
	var clones []*probe.Image
	for _, name := range names {
		f, img, err := readProbe(name)
		if err != nil {
			return nil, &exitStatus{2, fmt.Errorf("%s: %w", name, err)}
		}
		if len(files) > 0 && f.Run != files[0].Run {
			return nil, &exitStatus{3, fmt.Errorf("%s and %s are of two runs of the probe, so not of clones: "+
				"it has to run when the snapshot is taken, and each clone's own file is to be compared", names[0], name)}
		}
		for k, other := range files { // or else everything would repeat
			if reflect.DeepEqual(f.Logs, other.Logs) {
				return nil, &exitStatus{3, fmt.Errorf("%s and %s are one clone's file twice, or %w", names[k], name, probe.ErrNoRestore)}
			}
		}
		files, clones = append(files, f), append(clones, img)
	}
	found, err := probe.Comparison{Clones: clones}.Run()
	if err != nil {
		return nil, &exitStatus{3, fmt.Errorf("no restore is to be seen: %w", err)}
	}
	r := new(result)
	for _, f := range found {
		r.Generators = append(r.Generators, generatorResult{f.Generator, f.Reads, f.Equal})
	}
	for k, f := range files {
		c := cloneResult{
			File: names[k], Signals: []signalResult{}, Version: f.Version, Started: f.Started, Ended: f.Ended,
			Counter: f.Counter, CounterRate: f.Rate, CounterUsed: f.Used, Machine: f.Machine,
		}
		if len(found[0].Pauses) == len(files) {
			c.PauseSeconds = found[0].Pauses[k].Seconds()
		}
		if len(found[0].First) == len(files) {
			c.FirstReadUsecs = found[0].First[k].Seconds() * 1e6
		}
		for _, e := range f.Events[commonEvents(files):] {
			after := float64(int64(e.At-found[0].Ends[k])) / float64(max(f.Rate, 1))
			c.Signals = append(c.Signals, signalResult{e.Name, e.Detail, after})
		}
		r.Clones = append(r.Clones, c)
	}
	return r, nil
}

func readProbe(name string) (*probe.File, *probe.Image, error) {
	in, err := os.Open(name)
	if err != nil {
		return nil, nil, err
	}
	defer in.Close()
	f, err := probe.ReadFile(in)
	if err != nil {
		return nil, nil, err
	}
	for _, name := range []string{"clonerand", probe.Control} {
		if !slices.ContainsFunc(f.Logs, func(l probe.FileLog) bool { return l.Name == name }) {
			return nil, nil, fmt.Errorf("the file has no reads of %s", name)
		}
	}
	img, err := f.Image()
	return f, img, err
}

// commonEvents is how many events lie before the restore: those that all files have.
func commonEvents(files []*probe.File) int {
	for n := 0; ; n++ {
		for _, f := range files {
			if n == len(f.Events) || f.Events[n] != files[0].Events[n] {
				return n
			}
		}
	}
}

func (r *result) generator(name string) generatorResult {
	for _, g := range r.Generators {
		if g.Name == name {
			return g
		}
	}
	return generatorResult{Name: name}
}

// status is nil, or an error with the exit status for what the comparison has shown.
func (r *result) status() error {
	switch {
	case r.generator("clonerand").Equal > 0:
		return &exitStatus{1, errors.New("clones have read the same from this package: please report it, with the files (SECURITY.md)")}
	case r.generator(probe.Control).Equal == 0:
		return &exitStatus{4, errors.New("plain AES-CTR did not repeat, so nothing was shown: compare files of clones of one snapshot")}
	}
	return nil
}

func (r *result) print(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "generator\treads compared\tequal blocks\t")
	for _, g := range r.Generators {
		word := ""
		switch {
		case g.Name == probe.Control && g.Equal > 0:
			word = "repeats, as it must: these are clones"
		case g.Equal > 0:
			word = "repeats"
		}
		fmt.Fprintf(table, "%s\t%d\t%d\t%s\n", printable(g.Name), g.Reads, g.Equal, word)
	}
	table.Flush()
	fmt.Fprintln(w)
	fmt.Fprintln(table, "clone\tpause\tfirst Read\tsignals\trandom instruction")
	for _, c := range r.Clones {
		var moved []string
		for _, s := range c.Signals {
			moved = append(moved, printable(fmt.Sprintf("%s (%s) after %.1f s", s.Name, s.Detail, s.AfterSeconds)))
		}
		if len(moved) == 0 {
			moved = []string{"none moved"}
		}
		instruction := "not known"
		for _, p := range c.Machine.Protection {
			if p.Name == "random instruction" {
				instruction = printable(p.Detail)
			}
		}
		fmt.Fprintf(table, "%s\t%s\t%.1f us\t%s\t%s\n", c.File, milliseconds(c.PauseSeconds), c.FirstReadUsecs,
			strings.Join(moved, ", "), instruction)
	}
	return table.Flush()
}

// printable is what a file says, which may come from anybody, without what a terminal would obey.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
}

func milliseconds(seconds float64) string { return fmt.Sprintf("%.3f ms", seconds*1e3) }
