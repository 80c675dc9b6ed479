package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/clonerand/rand/internal/probe"
)

// hibernation is a guest that hibernates to its disk in the middle of the reads. Two copies of the disk
// are the clones: each is booted, and the kernel goes on with what it finds there.
func hibernation() scenario {
	return scenario{
		name: "amd64-hibernation",
		machine: machine{
			arch: "amd64", kernel: "hibernate-amd64", cpu: "max", modules: []string{"virtio_blk"},
			memory: 1024, // the image needs room beside what it is of
			env:    []string{"CLONERAND_VMTEST_SWAP=1"},
		},
		hibernate: true,
		full:      true,
	}
}

func (s scenario) runHibernation(ctx context.Context, dir string) ([]row, error) {
	defer os.RemoveAll(dir)
	initramfs, err := s.machine.initramfs(ctx, dir)
	if err != nil {
		return nil, err
	}
	s.machine.disk = filepath.Join(dir, "disk")
	for _, args := range [][]string{
		{"qemu-img", "create", "-q", "-f", "raw", s.machine.disk, "1G"},
		{"mkswap", "-q", s.machine.disk},
	} {
		if err := command(ctx, args...); err != nil {
			return nil, err
		}
	}
	spans, err := s.hibernated(ctx, filepath.Join(dir, "boot"), initramfs)
	if err != nil {
		return nil, fmt.Errorf("hibernate: %w", err)
	}
	var clones []*probe.Image
	for k := range 2 {
		copied := s.machine
		copied.disk = filepath.Join(dir, fmt.Sprintf("disk.%d", k))
		if err := command(ctx, "cp", "--sparse=always", s.machine.disk, copied.disk); err != nil {
			return nil, err
		}
		img, err := copied.resume(ctx, filepath.Join(dir, fmt.Sprint(k)), initramfs, spans)
		if err != nil {
			return nil, fmt.Errorf("clone %d: %w", k, err)
		}
		clones = append(clones, img)
	}
	found, err := probe.Comparison{Clones: clones}.Run()
	return s.rows(s.name, found, clones), err
}

// hibernated boots the guest, lets it read and hibernates it.
func (s scenario) hibernated(ctx context.Context, dir, initramfs string) ([]span, error) {
	v, err := s.machine.start(ctx, dir, initramfs, "")
	if err != nil {
		return nil, err
	}
	defer v.close()
	spans, err := v.records(ctx)
	if err != nil {
		return nil, err
	}
	img, err := v.image(ctx, spans, true)
	if err != nil {
		return nil, err
	}
	if err := v.until(ctx, spans, img, 2000); err != nil {
		return nil, err
	}
	if err := v.qmp.run(ctx, "cont", nil, nil); err != nil {
		return nil, err
	}
	if err := v.say(ctx, "hibernate"); err != nil {
		return nil, err
	}
	// Then it switches the machine off.
	if _, err := v.line(ctx, "nothing more"); !errors.Is(err, errEnded) {
		return nil, err
	}
	return spans, nil
}

// resume boots the machine and returns the records of the guest that it has gone on with.
func (m machine) resume(ctx context.Context, dir, initramfs string, spans []span) (*probe.Image, error) {
	v, err := m.start(ctx, dir, initramfs, "")
	if err != nil {
		return nil, err
	}
	defer v.close()
	var from *probe.Image
	// Until the old memory is back there is no region at its place.
	for from == nil {
		if err := sleep(ctx, pollTime); err != nil {
			return nil, err
		}
		from, _ = v.image(ctx, spans, true)
	}
	if err := v.until(ctx, spans, from, 10_000); err != nil {
		return nil, err
	}
	return v.image(ctx, spans, false)
}

func command(ctx context.Context, args ...string) error {
	if out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", args[0], err, out)
	}
	return nil
}
