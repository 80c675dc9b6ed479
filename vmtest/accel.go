package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

// kvmTime is how long a guest may take to boot under KVM. A real one takes 2 s.
const kvmTime = 20 * time.Second

// accelerate decides what runs each of the chosen cases.
func accelerate(ctx context.Context, accel string, chosen []scenario, dir string) error {
	switch accel {
	case "auto", "kvm", "tcg":
	default:
		return fmt.Errorf("-accel %s: it is auto, kvm or tcg", accel)
	}
	var native []*machine
	for i := range chosen {
		m := &chosen[i].machine
		m.accel = "tcg"
		if m.arch == runtime.GOARCH {
			native = append(native, m)
		}
	}
	if accel == "tcg" || accel == "auto" && len(native) == 0 {
		return nil
	}
	err := errors.New("none of the cases is of this machine's architecture")
	if len(native) > 0 {
		err = tryKVM(ctx, *native[0], filepath.Join(dir, "kvm"))
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil && accel == "kvm":
		return fmt.Errorf("%w: KVM is not usable here: %w", errCannot, err)
	case err != nil:
		fmt.Fprintln(os.Stderr, "KVM is not usable here:", err)
		return nil
	}
	for _, m := range native {
		m.accel = "kvm"
	}
	return nil
}

// tryKVM boots a guest until it reads. A device that opens is not enough: under a KVM that is itself emulated, QEMU's
// firmware does not end.
func tryKVM(ctx context.Context, m machine, dir string) error {
	f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	f.Close()
	defer os.RemoveAll(dir)
	m.accel = "kvm"
	initramfs, err := m.initramfs(ctx, dir)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, kvmTime, fmt.Errorf("the guest does not read after %v", kvmTime))
	defer cancel()
	v, err := m.start(ctx, filepath.Join(dir, "boot"), initramfs, "")
	if err != nil {
		return err
	}
	defer v.close()
	_, err = v.records(ctx)
	return err
}
