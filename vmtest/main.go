// Command vmtest proves on real virtual machines that clones of package rand differ: it boots guests
// that read without a break, snapshots them in the middle of it, restores each snapshot more than
// once, and compares what the clones read.
//
//	go run ./vmtest [-accel auto|kvm|tcg] [-case name,...] [-full] [-j n]
//
// QEMU emulates the machines in software (tcg), which works anywhere, or runs them on this machine's CPU (kvm), where
// that works. With auto it tries KVM by one boot, and each row names what ran.
//
// It prints a table, and fails unless each generator shows what it must. Package rand must not have one equal
// block. Plain AES-CTR, and package rand with its detectors switched off, must repeat: that shows that
// these are clones. crypto/rand stands beside them for comparison.
//
// Three kinds of guests have only what users have. "keys" makes keys as TLS does, with a patched standard library, or
// as control without. "guard" reads crypto/rand beside clonerand guard; from the guard's first tick on it must not
// repeat. "probe" uses the command clonerand probe as its help says.
//
// setup.sh fetches QEMU and kernels on Debian. Where they cannot be had nothing is tested, and
// the program says so; with CI=true in the environment that is a failure.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/clonerand/rand/internal/probe"
)

func main() {
	names := flag.String("case", "", "run only these cases, separated by commas")
	full := flag.Bool("full", false, "also the cases that need a disk and more time")
	accel := flag.String("accel", "auto", "auto, kvm or tcg")
	jobs := flag.Int("j", 2, "machines at a time")
	limit := flag.Duration("timeout", 20*time.Minute, "limit of the whole run")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), append(endSignals, os.Interrupt)...)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, *limit)
	defer cancel()
	err := vmtest(ctx, *accel, *names, *full, *jobs)
	if errors.Is(err, errCannot) && os.Getenv("CI") != "true" {
		fmt.Println("SKIP:", err)
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "FAIL:", err)
		os.Exit(1)
	}
}

func vmtest(ctx context.Context, accel, names string, full bool, jobs int) error {
	chosen, err := choose(scenarios(), names, full)
	if err != nil {
		return err
	}
	hibernate := slices.ContainsFunc(chosen, func(s scenario) bool { return s.hibernate })
	if err := setup(ctx, hibernate); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "vmtest")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)

	built := &builds{dir: dir, made: map[goProgram]func() (string, error){}}
	for i := range chosen {
		chosen[i].machine.built = built
	}
	if err := accelerate(ctx, accel, chosen, dir); err != nil {
		return err
	}

	rows := make([][]row, len(chosen))
	errs := make([]error, len(chosen))
	slots := make(chan struct{}, jobs)
	var wg sync.WaitGroup
	for i, s := range chosen {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			start := time.Now()
			rows[i], errs[i] = s.run(ctx, filepath.Join(dir, s.name))
			if errs[i] != nil {
				errs[i] = fmt.Errorf("%s: %w", s.name, errs[i])
			}
			fmt.Fprintf(os.Stderr, "%s: %.0f s\n", s.name, time.Since(start).Seconds())
		})
	}
	wg.Wait()

	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "case\taccel\tgenerator\treads\tequal blocks\tpause seen\tfirst Read\tuntil its end\tverdict")
	for _, rows := range rows {
		for _, r := range rows {
			verdict, ok := r.verdict()
			if !ok {
				errs = append(errs, fmt.Errorf("%s: %s: %s", r.scenario, r.Generator, verdict))
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%s\t%s\t%s\t%s\n",
				r.scenario, r.accel, r.Generator, r.Reads, r.Equal, r.pause(), microseconds(r.First), microseconds(r.woke), verdict)
		}
	}
	w.Flush()
	return errors.Join(errs...)
}

// choose picks the named cases; without names all but those that are only for -full.
func choose(all []scenario, names string, full bool) ([]scenario, error) {
	var chosen []scenario
	if names == "" {
		for _, s := range all {
			if full || !s.full {
				chosen = append(chosen, s)
			}
		}
		return chosen, nil
	}
	for name := range strings.SplitSeq(names, ",") {
		n := len(chosen)
		for _, s := range all {
			if s.name == name {
				chosen = append(chosen, s)
			}
		}
		if len(chosen) == n {
			return nil, fmt.Errorf("there is no case %q", name)
		}
	}
	return chosen, nil
}

// verdict says whether the generator showed what it must.
func (r row) verdict() (string, bool) {
	switch r.Generator {
	case "getrandom", "math/rand/v2":
		return "-", true
	case "crypto/rand":
		if !r.patched && !r.guarded {
			return "-", true
		}
	}
	switch {
	case r.missing():
		return "FAIL: does not repeat", false
	case r.control():
		return "repeats, as it must", true
	case r.Equal != 0:
		return "FAIL: repeats", false
	}
	if r.Generator == "clonerand" && r.counter == r.blind {
		// What is under way counts less without a counter, so a pass would say less than it seems to.
		return fmt.Sprintf("FAIL: counter used: %v", r.counter), false
	}
	if r.guarded {
		return fmt.Sprintf("ok; before the first tick, %v after the restore, %d blocks equal in %d reads",
			r.Until.Round(time.Microsecond), r.EarlyEqual, r.Early), true
	}
	if r.told {
		return "ok, Generation moved", true
	}
	return "ok", true
}

// control reports whether the generator must repeat, which shows that the clones are clones.
func (r row) control() bool {
	switch r.Generator {
	case probe.Control, "unguarded":
		return true
	case "mlkem.GenerateKey768", "ecdsa.GenerateKey":
		return !r.patched
	}
	return false
}

// missing reports whether a control has not repeated.
func (r row) missing() bool { return r.control() && r.Equal == 0 }

func (r row) pause() string {
	if r.Generator == "clonerand" && !r.counter || len(r.Pauses) == 0 {
		return "counter not used"
	}
	return fmt.Sprintf("%.1f to %.1f ms", slices.Min(r.Pauses).Seconds()*1e3, slices.Max(r.Pauses).Seconds()*1e3)
}

// microseconds shows the median and the greatest of durations.
func microseconds(d []time.Duration) string {
	if len(d) == 0 {
		return "-"
	}
	d = slices.Sorted(slices.Values(d))
	return fmt.Sprintf("%.0f, at most %.0f us", d[len(d)/2].Seconds()*1e6, d[len(d)-1].Seconds()*1e6)
}
