package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// machine is what a guest runs on. The machine that restores a snapshot must be the one that made it.
type machine struct {
	arch    string // amd64 or arm64
	accel   string // kvm or tcg, which is emulation
	kernel  string // folder of the cache
	cpu     string
	memory  int      // in MiB; 0: 320
	modules []string // loaded by the guest, in this order
	guest   string   // its first program: "plain" or "patched" for that of the folder guest; empty: the test binary
	command bool     // the guest has the clonerand command
	devices []string // arguments of -device
	env     []string // of the guest, as name=value words of the kernel's command line
	built   *builds  // the programs of all machines
	disk    string   // image of a virtio disk; empty: none
}

var boards = map[string]struct{ qemu, console string }{
	"amd64": {"qemu-system-x86_64 -M q35", "ttyS0"},
	"arm64": {"qemu-system-aarch64 -M virt,gic-version=3", "ttyAMA0"},
}

var accelerators = map[string]string{"kvm": "kvm", "tcg": "tcg,thread=multi"}

// cpus is how many each machine has, and goroutines that read.
const cpus = 2

// pollTime is between two looks at what a guest does.
const pollTime = 20 * time.Millisecond

// vm is one QEMU process.
type vm struct {
	dir    string
	cmd    *exec.Cmd
	stderr bytes.Buffer
	gone   chan struct{} // closed when the process has ended
	qmp    *qmp
	dumps  int
}

// start runs QEMU in dir, a folder of its own. The guest boots, or with a snapshot waits in it for
// cont. The process ends with ctx, or by close.
func (m machine) start(ctx context.Context, dir, initramfs, snapshot string) (*vm, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	board := boards[m.arch]
	args := strings.Fields(board.qemu)
	args = append(args, "-accel", accelerators[m.accel], "-cpu", m.cpu, "-smp", fmt.Sprint(cpus), "-m", fmt.Sprint(cmp.Or(m.memory, 320)),
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-chardev", "socket,id=console,path=console.sock,server=on,wait=off,logfile=console.log",
		"-serial", "chardev:console",
		"-qmp", "unix:qmp.sock,server=on,wait=off",
		"-kernel", filepath.Join(cacheDir(), "kernels", m.kernel, "vmlinuz"), "-initrd", initramfs,
		"-append", "console="+board.console+" loglevel=0 panic=-1 hugepages=48"+
			" CLONERAND_VMTEST=1 CLONERAND_VMTEST_CONSOLE=/dev/"+board.console+" "+strings.Join(m.env, " "))
	for _, d := range m.devices {
		args = append(args, "-device", d)
	}
	if m.disk != "" {
		args = append(args, "-drive", "if=virtio,format=raw,file="+m.disk)
	}
	if snapshot != "" {
		args = append(args, "-S", "-incoming", "file:"+snapshot)
	}

	v := &vm{dir: dir, gone: make(chan struct{})}
	v.cmd = exec.CommandContext(ctx, args[0], args[1:]...)
	v.cmd.Dir, v.cmd.Stderr, v.cmd.SysProcAttr = dir, &v.stderr, dieWithParent()
	if err := v.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { v.cmd.Wait(); close(v.gone) }()

	// Of a process that ends early its own words are reported, not that its socket never came.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-v.gone:
			cancel(fmt.Errorf("%s ended: %s", args[0], &v.stderr))
		case <-ctx.Done():
		}
	}()
	var err error
	if v.qmp, err = dialQMP(ctx, filepath.Join(dir, "qmp.sock")); err != nil {
		v.close()
		return nil, err
	}
	if snapshot != "" {
		err = v.wait(ctx, "query-status", "paused", "inmigrate")
		if err != nil {
			v.close()
			return nil, fmt.Errorf("restore: %w", err)
		}
	}
	return v, nil
}

// close ends the process.
func (v *vm) close() {
	v.cmd.Process.Kill()
	<-v.gone
	if v.qmp != nil {
		v.qmp.conn.Close()
	}
}

// wait polls command until its status is want; while it is one of pending it goes on.
func (v *vm) wait(ctx context.Context, command, want string, pending ...string) error {
	for {
		got, err := v.qmp.status(ctx, command)
		if err != nil {
			return err
		}
		if got == want {
			return nil
		}
		if !strings.Contains(" "+strings.Join(pending, " ")+" ", " "+got+" ") {
			return fmt.Errorf("%s: %q instead of %q", command, got, want)
		}
		if err := sleep(ctx, pollTime); err != nil {
			return err
		}
	}
}

// snapshot writes the standing guest to a file.
func (v *vm) snapshot(ctx context.Context, file string) error {
	err := v.qmp.run(ctx, "migrate-set-parameters", map[string]any{"max-bandwidth": uint64(1) << 40}, nil)
	if err != nil {
		return err
	}
	if err := v.qmp.run(ctx, "migrate", map[string]any{"uri": "file:" + file}, nil); err != nil {
		return err
	}
	return v.wait(ctx, "query-migrate", "completed", "setup", "active", "device", "pre-switchover")
}
