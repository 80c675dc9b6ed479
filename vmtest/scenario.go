package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/clonerand/rand/internal/probe"
)

// scenario is a guest, the snapshots that are taken of it, and what is restored from each.
type scenario struct {
	name    string
	machine machine
	boot    variant
	rounds  int          // how many snapshots; more where a control has not repeated
	clones  []variant    // restored from each of them
	compare []comparison // of the clones of one snapshot
	signal  bool         // Generation must move in every clone
	blind   bool         // package rand cannot use this machine's counter; elsewhere it must
	guard   bool         // clonerand guard runs in the guest: crypto/rand must not repeat either, from its first tick on
	full    bool         // only with -full

	// Instead of all this:
	hibernate bool // the guest hibernates, see hibernate.go
	probe     bool // the guest runs clonerand probe run, see probe.go
}

// variant is what one start of the machine has of its own.
type variant struct {
	devices []string
	reads   uint64 // to be made after the restore, at least
	bump    bool   // have the guest run "clonerand signal bump -id" with an identity of its own
}

// comparison names clones by their place in the scenario.
type comparison struct {
	name   string
	clones []int
}

// row is one line of the table.
type row struct {
	scenario string
	accel    string // what ran it
	blind    bool
	patched  bool            // the standard library
	guarded  bool            // the kernel
	counter  bool            // the package used the counter
	told     bool            // Generation moved in every clone
	woke     []time.Duration // from the restored machine's start to the end of its first read, by the host's clock
	probe.Finding
}

// rows are the lines for what a comparison found.
func (s scenario) rows(name string, found []probe.Finding, clones []*probe.Image) (rows []row) {
	for _, f := range found {
		// Where Generation does not move, restore has failed.
		rows = append(rows, row{
			name, s.machine.accel, s.blind, s.machine.guest == "patched", s.guard, clones[0].CounterUsed, s.signal, nil, f,
		})
	}
	return rows
}

// run takes the snapshots in the middle of the reads, restores each for each clone, and compares.
func (s scenario) run(ctx context.Context, dir string) ([]row, error) {
	if s.hibernate {
		return s.runHibernation(ctx, dir)
	}
	if s.probe {
		return s.runProbe(ctx, dir)
	}
	defer os.RemoveAll(dir)
	initramfs, err := s.machine.initramfs(ctx, dir)
	if err != nil {
		return nil, err
	}
	v, err := s.machine.with(s.boot).start(ctx, filepath.Join(dir, "boot"), initramfs, "")
	if err != nil {
		return nil, err
	}
	defer v.close()
	spans, err := v.records(ctx)
	if err != nil {
		return nil, err
	}
	r := &restorer{scenario: s, dir: dir, initramfs: initramfs, file: filepath.Join(dir, "snapshot"), spans: spans}

	before, err := v.image(ctx, spans, true)
	if err != nil {
		return nil, err
	}
	var rows []row
	// A control that draws from the kernel repeats until the kernel reseeds, which may be at once. Then another round
	// shows it, or there is something wrong.
	for n := 0; n < s.rounds || n < 3*s.rounds && slices.ContainsFunc(rows, row.missing); n++ {
		if before, err = r.snapshot(ctx, v, before); err != nil {
			return nil, err
		}
		found, err := r.round(ctx, before)
		for try := 1; errors.Is(err, probe.ErrNotKept) && try < 3; try++ {
			found, err = r.round(ctx, before)
		}
		if err != nil {
			return nil, err
		}
		rows = merge(rows, found)
		if err := v.qmp.run(ctx, "cont", nil, nil); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// restorer is what the restores of one guest have in common.
type restorer struct {
	scenario
	dir, initramfs, file string
	spans                []span
	woke                 []time.Duration // see row
}

// snapshot lets the guest read for a while, stops it and writes the snapshot. Before the first it has
// read enough to be past all that is done once.
func (r *restorer) snapshot(ctx context.Context, v *vm, from *probe.Image) (*probe.Image, error) {
	if err := v.until(ctx, r.spans, from, 2000); err != nil {
		return nil, err
	}
	before, err := v.image(ctx, r.spans, false)
	if err != nil {
		return nil, err
	}
	os.Remove(r.file)
	return before, v.snapshot(ctx, r.file)
}

// round restores the snapshot once for each clone, and compares.
func (r *restorer) round(ctx context.Context, before *probe.Image) ([]row, error) {
	var clones []*probe.Image
	r.woke = nil
	for k, c := range r.clones {
		img, err := r.restore(ctx, filepath.Join(r.dir, fmt.Sprint(k)), c, before)
		if err != nil {
			return nil, fmt.Errorf("clone %d: %w", k, err)
		}
		clones = append(clones, img)
	}
	var rows []row
	for _, c := range r.scenario.compare {
		var err error
		var set []*probe.Image
		for _, k := range c.clones {
			set = append(set, clones[k])
		}
		comparison := probe.Comparison{Before: before, Clones: set}
		if r.guard {
			comparison, err = guarded(set)
		}
		var found []probe.Finding
		if err == nil {
			found, err = comparison.Run()
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
		rows = append(rows, r.rows(c.name, found, set)...)
	}
	if len(rows) > 0 {
		rows[0].woke = r.woke
	}
	return rows, nil
}

// restore runs one clone and returns its records. With a signal it also waits until Generation has moved.
func (r *restorer) restore(ctx context.Context, dir string, clone variant, before *probe.Image) (*probe.Image, error) {
	defer os.RemoveAll(dir)
	v, err := r.machine.with(clone).start(ctx, dir, r.initramfs, r.file)
	if err != nil {
		return nil, err
	}
	defer v.close()
	start := time.Now()
	if err := v.qmp.run(ctx, "cont", nil, nil); err != nil {
		return nil, err
	}
	if err := v.reads(ctx, r.spans, before); err != nil {
		return nil, err
	}
	r.woke = append(r.woke, time.Since(start))
	if clone.bump {
		id := make([]byte, 16)
		rand.Read(id)
		if err := v.say(ctx, "bump "+hex.EncodeToString(id)); err != nil {
			return nil, err
		}
	}
	if err := v.until(ctx, r.spans, before, clone.reads/cpus); err != nil {
		return nil, err
	}
	after, err := v.image(ctx, r.spans, false)
	if err != nil || !r.signal || after.Generation != before.Generation {
		return after, err
	}
	if err := v.qmp.run(ctx, "cont", nil, nil); err != nil {
		return nil, err
	}
	return after, v.generation(ctx, r.spans, before.Generation)
}

// merge adds the rows of one more round.
func merge(all, more []row) []row {
	if all == nil {
		return more
	}
	for i := range all {
		all[i].Finding = all[i].And(more[i].Finding)
		all[i].woke = append(all[i].woke, more[i].woke...)
	}
	return all
}

// with returns the machine with the devices of v.
func (m machine) with(v variant) machine {
	m.devices = append(m.devices[:len(m.devices):len(m.devices)], v.devices...)
	return m
}

// guarded compares from the guard's first tick that ended after the restore. The guard sees the pause, and makes a tick
// again that was under way in the snapshot.
func guarded(clones []*probe.Image) (probe.Comparison, error) {
	c := probe.Comparison{}
	ticks := len(clones[0].Logs) - 1
	place, err := probe.Restored(clones, ticks)
	if err != nil {
		return c, fmt.Errorf("ticks of the guard: %w", err)
	}
	for _, img := range clones {
		tick, ok := img.Logs[ticks].Record(place)
		if !ok || place >= img.Logs[ticks].Count {
			return c, errors.New("the guard did not tick after the restore")
		}
		reads := *img
		reads.Logs = img.Logs[:ticks]
		c.Clones, c.Split = append(c.Clones, &reads), append(c.Split, tick.End)
	}
	return c, nil
}
