package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"

	"github.com/clonerand/rand/internal/vmring"
)

// scenario is one snapshot and what is restored from it.
type scenario struct {
	name    string
	machine machine
	boot    variant
	clones  []variant
	compare []comparison
	signal  bool // Generation must move in every clone
	full    bool // only with -full
}

// variant is what one start of the machine has of its own.
type variant struct {
	devices []string
	reads   uint64 // to be made after the restore
	bump    bool   // have the guest run "clonerand signal bump -id" with an identity of its own
}

type comparison struct {
	name   string
	clones []int
}

// row is one line of the table.
type row struct {
	scenario string
	finding
}

// run boots the machine, takes the snapshot in the middle of the reads, restores it for each clone, and
// compares.
func (s scenario) run(ctx context.Context, dir string) ([]row, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	initramfs, err := s.machine.initramfs(ctx, dir)
	if err != nil {
		return nil, err
	}
	snapshot := filepath.Join(dir, "snapshot")
	before, spans, err := s.template(ctx, filepath.Join(dir, "boot"), initramfs, snapshot)
	if err != nil {
		return nil, fmt.Errorf("boot: %w", err)
	}
	var clones []*vmring.Image
	for k, v := range s.clones {
		img, err := s.restore(ctx, filepath.Join(dir, fmt.Sprint(k)), initramfs, snapshot, v, before, spans)
		if err != nil {
			return nil, fmt.Errorf("clone %d: %w", k, err)
		}
		clones = append(clones, img)
	}
	var rows []row
	for _, c := range s.compare {
		var set []*vmring.Image
		for _, k := range c.clones {
			set = append(set, clones[k])
		}
		found, err := compare(before, set)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
		for _, f := range found {
			rows = append(rows, row{c.name, f})
		}
	}
	return rows, nil
}

// template boots the machine and writes the snapshot.
func (s scenario) template(ctx context.Context, dir, initramfs, file string) (*vmring.Image, []span, error) {
	v, err := s.machine.with(s.boot).start(ctx, dir, initramfs, "")
	if err != nil {
		return nil, nil, err
	}
	defer v.close()
	spans, err := v.records(ctx)
	if err != nil {
		return nil, nil, err
	}
	empty, err := v.image(ctx, spans, true)
	if err != nil {
		return nil, nil, err
	}
	if err := v.until(ctx, spans, empty, 2000); err != nil {
		return nil, nil, err
	}
	before, err := v.image(ctx, spans, false)
	if err != nil {
		return nil, nil, err
	}
	return before, spans, v.snapshot(ctx, file)
}

// restore runs one clone and returns its records. With a signal it also waits until Generation has moved.
func (s scenario) restore(ctx context.Context, dir, initramfs, file string, clone variant, before *vmring.Image, spans []span) (*vmring.Image, error) {
	v, err := s.machine.with(clone).start(ctx, dir, initramfs, file)
	if err != nil {
		return nil, err
	}
	defer v.close()
	if err := v.qmp.run(ctx, "cont", nil, nil); err != nil {
		return nil, err
	}
	if clone.bump {
		id := make([]byte, 16)
		rand.Read(id)
		if err := v.say("bump " + hex.EncodeToString(id)); err != nil {
			return nil, err
		}
	}
	// Two CPUs, each with a log of its own.
	if err := v.until(ctx, spans, before, clone.reads/2); err != nil {
		return nil, err
	}
	after, err := v.image(ctx, spans, false)
	if err != nil || !s.signal {
		return after, err
	}
	if after.Generation == before.Generation {
		if err := v.qmp.run(ctx, "cont", nil, nil); err != nil {
			return nil, err
		}
		if err := v.generation(ctx, spans, before.Generation); err != nil {
			return nil, err
		}
	}
	return after, nil
}

// with returns the machine with the devices of v.
func (m machine) with(v variant) machine {
	m.devices = append(m.devices[:len(m.devices):len(m.devices)], v.devices...)
	return m
}
