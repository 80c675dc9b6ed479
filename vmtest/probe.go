package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"github.com/clonerand/rand/internal/probe"
)

// probing is a machine in which clonerand probe run is used as its help says, and compare on this one.
func probing(name string, m machine) scenario {
	m.command, m.env = true, []string{"CLONERAND_VMTEST_PROBE=1"}
	return scenario{name: name, machine: m, probe: true}
}

// probeTime is how long the probe records before the snapshot and after the restore.
const probeTime = 3 * time.Second

func (s scenario) runProbe(ctx context.Context, dir string) ([]row, error) {
	defer os.RemoveAll(dir)
	initramfs, err := s.machine.initramfs(ctx, dir)
	if err != nil {
		return nil, err
	}
	snapshot := filepath.Join(dir, "snapshot")
	if err := s.probedUntil(ctx, filepath.Join(dir, "boot"), initramfs, snapshot); err != nil {
		return nil, err
	}
	ours, err := s.machine.built.get(ctx, goProgram{arch: runtime.GOARCH, pkg: commandPath})
	if err != nil {
		return nil, err
	}
	args := []string{"probe", "compare", "-json"}
	for k := range 2 {
		name := filepath.Join(dir, fmt.Sprintf("%d.probe", k))
		if err := s.probed(ctx, filepath.Join(dir, fmt.Sprint(k)), initramfs, snapshot, name); err != nil {
			return nil, fmt.Errorf("clone %d: %w", k, err)
		}
		args = append(args, name)
	}
	cmd := exec.CommandContext(ctx, ours, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("probe compare: %w: %s%s", err, &stderr, out)
	}
	var r struct {
		Clones []struct {
			PauseSeconds, FirstReadUsecs float64
			CounterUsed                  bool
		}
		Generators []struct {
			Name         string
			Reads, Equal int
		}
	}
	if err := json.Unmarshal(out, &r); err != nil {
		return nil, err
	}
	var rows []row
	for _, g := range r.Generators {
		f := probe.Finding{Generator: g.Name, Reads: g.Reads, Equal: g.Equal}
		for _, c := range r.Clones {
			f.Pauses = append(f.Pauses, time.Duration(c.PauseSeconds*1e9))
			f.First = append(f.First, time.Duration(c.FirstReadUsecs*1e3))
		}
		rows = append(rows, row{scenario: s.name, accel: s.machine.accel, counter: r.Clones[0].CounterUsed, Finding: f})
	}
	return rows, nil
}

// probedUntil boots the guest and takes the snapshot while the probe records.
func (s scenario) probedUntil(ctx context.Context, dir, initramfs, snapshot string) error {
	v, err := s.machine.start(ctx, dir, initramfs, "")
	if err != nil {
		return err
	}
	defer v.close()
	if _, err := v.line(ctx, "probe"); err != nil {
		return err
	}
	if err := sleep(ctx, probeTime); err != nil {
		return err
	}
	if err := v.qmp.run(ctx, "stop", nil, nil); err != nil {
		return err
	}
	return v.snapshot(ctx, snapshot)
}

// probed restores a clone, presses Enter in it, and fetches the probe's file.
func (s scenario) probed(ctx context.Context, dir, initramfs, snapshot, name string) error {
	v, err := s.machine.start(ctx, dir, initramfs, snapshot)
	if err != nil {
		return err
	}
	defer v.close()
	if err := v.qmp.run(ctx, "cont", nil, nil); err != nil {
		return err
	}
	if err := sleep(ctx, probeTime); err != nil {
		return err
	}
	// Any line is Enter. This one has a word, since say waits for its echo.
	if err := v.say(ctx, "enter"); err != nil {
		return err
	}
	spans, err := v.records(ctx)
	if err != nil {
		return err
	}
	line, err := v.line(ctx, "size")
	if err != nil {
		return err
	}
	size, err := strconv.Atoi(line)
	if err != nil {
		return fmt.Errorf("guest's word on the size of the file: %w", err)
	}
	b, err := v.memory(ctx, spans)
	if err != nil {
		return err
	}
	if size > len(b) {
		return fmt.Errorf("the guest's file has %d bytes, of which it has %d", size, len(b))
	}
	return os.WriteFile(name, b[:size], 0o600)
}
