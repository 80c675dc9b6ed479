package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/clonerand/rand"
	"github.com/clonerand/rand/internal/probe"
)

var probeRunCommand = &command{
	name:  "run",
	args:  "[-for DURATION] [-o FILE] [-keys]",
	short: "read in a loop, and record it, while the machine is cloned",
	long: `Reads 16 bytes again and again from this package, crypto/rand, the kernel (getrandom, on Linux), math/rand/v2 and, as
a control that must repeat, plain AES-CTR. It stops at Enter, at a signal (INT, TERM, HUP), or by -for, and writes a
file of about 2.5 MB. One CPU is busy until then. It keeps the reads around the 100 longest pauses, in 10 MB of memory, so
that a restore is among them however long it runs.

The file holds counter values, hashes of what the probe itself has read, and what this machine is. Where FILE is
there already, as when two clones write into one shared folder, it takes another name.
`,
	start: func(flags *flag.FlagSet) action {
		wait := flags.Duration("for", 0, "stop when no longer pause was seen for this `DURATION`, such as 60s")
		file := flags.String("o", "clonerand.probe", "write this `FILE`")
		keys := flags.Bool("keys", false, "also make keys with crypto/mlkem and crypto/ecdsa, which takes longer than short pauses")
		return func(_ []string, stdout, _ io.Writer) error {
			if *wait < 0 {
				return misused("-for %v is in the past", *wait)
			}
			return runProbe(*wait, *file, *keys, stdout)
		}
	},
}

// probeSpec keeps some 100 gaps: each has its chunk, the one before and 8 after it.
func probeSpec(name string, first bool) probe.Spec {
	records := 16
	if first {
		records = 128
	}
	return probe.Spec{Name: name, Chunks: 1024, Records: records, Bytes: records * 16, After: 8}
}

func runProbe(wait time.Duration, file string, keys bool, stdout io.Writer) error {
	ctx, stop := signal.NotifyContext(context.Background(), stopSignals...)
	defer stop()
	if err := canSave(file); err != nil {
		return err
	}
	stayInBackground()
	p, err := newProbing(keys)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "Recording on %s.\nNow take a snapshot of this machine, and restore it twice.", p.Machine.System)
	if wait > 0 {
		fmt.Fprintf(stdout, " It stops %v after the longest pause.\n", wait)
	} else {
		fmt.Fprintf(stdout, " Then press Enter in each clone.\n")
	}
	if err := p.record(ctx, wait, stdout); err != nil {
		return err
	}
	name, err := p.save(file)
	if err != nil {
		return fmt.Errorf("nothing is saved: %w", err)
	}
	fmt.Fprintf(stdout, "%s: written. With that of the other clone: clonerand probe compare A B\n", name)
	return nil
}

// probing is one run.
type probing struct {
	probe.File
	generators []probe.Generator
	counter    probe.Counter
	region     *probe.Region
}

func newProbing(keys bool) (*probing, error) {
	p := &probing{generators: []probe.Generator{
		{Name: "clonerand", New: func() (func([]byte) error, error) {
			return func(b []byte) error { _, err := rand.Read(b); return err }, nil
		}},
		probe.CryptoRand(),
	}}
	p.generators = append(p.generators, kernelGenerators...)
	p.generators = append(p.generators, mathRand, probe.NewControl())
	if keys {
		p.generators = append(p.generators, probe.Keys()...)
	}
	var specs []probe.Spec
	for i, g := range p.generators {
		specs = append(specs, probeSpec(g.Name, i == 0))
	}
	var err error
	if p.region, err = probe.New(make([]byte, probe.Size(specs)), specs); err != nil {
		return nil, err
	}
	p.Started = time.Now().UTC().Round(time.Second)
	p.counter, p.Counter = probe.NewCounter(counterReadable())
	p.Rate = p.counter.Rate()
	id := sha256.Sum256([]byte(rand.Text())) // not the bytes themselves
	p.Run = hex.EncodeToString(id[:16])
	p.Version = commandVersion()
	p.Machine = thisMachine()
	for _, row := range rand.Inspect(time.Millisecond) {
		p.Machine.Protection = append(p.Machine.Protection, probe.Protection{Name: row.Name, Active: row.Active, Detail: row.Detail})
		p.Used = p.Used || row.Name == "pause" && row.Active
	}
	p.Begun = p.counter()
	return p, nil
}

var mathRand = probe.Generator{Name: "math/rand/v2", New: func() (func([]byte) error, error) {
	return func(b []byte) error {
		binary.LittleEndian.PutUint64(b, mathrand.Uint64())
		binary.LittleEndian.PutUint64(b[8:], mathrand.Uint64())
		return nil
	}, nil
}}

// record reads until it is to stop.
func (p *probing) record(ctx context.Context, wait time.Duration, stdout io.Writer) error {
	var stop atomic.Bool
	ended := make(chan error)
	go func() {
		ended <- probe.Loop{
			Counter: p.counter, Generators: p.generators, Logs: p.region.Logs, Size: func(int) int { return 16 },
		}.Run(&stop)
	}()
	enter := make(chan struct{})
	go func() {
		// Without a terminal there may be no line ever. In the background the terminal gives EIO until the shell brings
		// the probe to the foreground.
		for in := bufio.NewReader(os.Stdin); ; time.Sleep(probeTick) {
			if _, err := in.ReadSlice('\n'); err == nil {
				close(enter)
				return
			} else if !errors.Is(err, syscall.EIO) && err != bufio.ErrBufferFull {
				return
			}
		}
	}()
	tick := time.NewTicker(probeTick)
	defer tick.Stop()
	signals := watchSignals()
	longest, reads := p.Begun, uint64(0) // reads are those after which -for may end it; 0: not yet due
	for {
		select {
		case err := <-ended:
			return err
		case <-enter:
		case <-ctx.Done():
		case <-tick.C:
			now := p.counter()
			for _, e := range signals() {
				e.At = now
				p.Events = append(p.Events, e)
				fmt.Fprintf(stdout, "%s: %s\n", e.Name, e.Detail)
			}
			count := p.region.Logs[0].Count()
			if at, gap := p.region.Logs[0].LongestGap(); at != 0 && at != longest {
				longest, reads = at, 0
				fmt.Fprintf(stdout, "longest pause so far: %v\n", inTime(gap, p.Rate))
			}
			if wait == 0 || inTime(now-longest, p.Rate) < wait {
				continue
			}
			// This may be the restore, and the read that shows its pause may not have ended yet.
			if reads == 0 {
				reads = count + 2
			}
			if count < reads {
				continue
			}
		}
		stop.Store(true)
		return <-ended
	}
}

// probeTick is the time between two looks at the clone signals. The probe looks seldom: Read is to look by itself.
const probeTick = 100 * time.Millisecond

// watchSignals returns a function that returns what has changed since it was called last.
func watchSignals() func() []probe.Event {
	look := func() []probe.Event {
		events := []probe.Event{{Name: "Generation", Detail: fmt.Sprint(rand.Generation())}}
		for _, row := range signalRows() {
			events = append(events, probe.Event{Name: row.Name, Detail: row.Detail})
		}
		return events
	}
	last := look()
	return func() (changed []probe.Event) {
		now := look()
		for i := range now {
			if i >= len(last) || now[i] != last[i] {
				changed = append(changed, now[i])
			}
		}
		last = now
		return changed
	}
}

// inTime is below zero for a counter that went back.
func inTime(n, rate uint64) time.Duration {
	return time.Duration(float64(int64(n)) / float64(rate) * float64(time.Second)).Round(time.Microsecond)
}

func systemName(release string) string {
	return strings.TrimSpace(fmt.Sprintf("%s/%s %s", runtime.GOOS, runtime.GOARCH, release))
}
