//go:build amd64 || arm64

package rand

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// This file is the guest of vmtest: the test binary of this package is the only program of a small
// virtual machine, so that what runs there is this very code, with its internal switches. Two
// goroutines, one on each CPU, read for ever and record what they got in memory that the host reads
// from outside. See vmtest/main.go for the host.

// vmGuest runs the guest and does not return, where this process is the first of a machine that
// vmtest has booted.
func vmGuest() {
	if os.Getpid() != 1 || os.Getenv("CLONERAND_VMTEST") == "" {
		return
	}
	var console io.Writer = os.Stderr
	err := runVMGuest(&console)
	fmt.Fprintf(console, "vmtest error %v\n", err)
	time.Sleep(100 * time.Millisecond) // the console is a slow line
	unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

func runVMGuest(console *io.Writer) error {
	if err := vmMounts(); err != nil {
		return err
	}
	tty, err := os.OpenFile(os.Getenv("CLONERAND_VMTEST_CONSOLE"), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	*console = tty
	if err := vmModules(); err != nil {
		return err
	}

	if os.Getenv("CLONERAND_VMTEST_SWAP") != "" {
		if err := vmResumeOrSwapOn(); err != nil {
			return err
		}
	}
	if os.Getenv("CLONERAND_VMTEST_FILE") != "" {
		if out, err := exec.Command("/clonerand", "signal", "init").CombinedOutput(); err != nil {
			return fmt.Errorf("signal init: %w: %s", err, out)
		}
	}

	gens := vmGenerators()
	large := os.Getenv("CLONERAND_VMTEST_LARGE") != ""
	region, where, err := vmNewRegion(gens)
	if err != nil {
		return err
	}

	failed, start := make(chan error), make(chan struct{})
	var homes []*state
	for cpu := range vmCPUs {
		logs := region.Logs[cpu*len(gens):][:len(gens)]
		home := vmNewHome(homes, func(home *state) {
			<-start
			failed <- vmReadForEver(cpu, gens, home, logs, region, large)
		})
		homes = append(homes, home)
	}
	close(start)
	fmt.Fprintf(tty, "vmtest counter %q\n", vmCounter())
	fmt.Fprintf(tty, "vmtest memory %s\n", where)
	go func() { failed <- vmCommands(tty) }()
	return <-failed
}

const (
	vmCPUs  = 2
	vmAhead = 16 << 10 // reads that one may be ahead of the other
)

func vmMounts() error {
	for _, m := range []struct{ dir, kind string }{
		{"/dev", "devtmpfs"}, {"/proc", "proc"}, {"/sys", "sysfs"}, {"/run", "tmpfs"}, {"/tmp", "tmpfs"},
	} {
		if err := os.MkdirAll(m.dir, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.kind, m.dir, m.kind, 0, ""); err != nil && !errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("mount %s: %w", m.dir, err)
		}
	}
	return nil
}

// vmModules loads what the host has put into /modules, in the order of the names.
func vmModules() error {
	list, err := os.ReadDir("/modules")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range list {
		f, err := os.Open("/modules/" + e.Name())
		if err != nil {
			return err
		}
		err = unix.FinitModule(int(f.Fd()), "", 0)
		f.Close()
		if err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("module %s: %w", e.Name(), err)
		}
	}
	return nil
}

// vmResumeOrSwapOn goes on with the machine that hibernated to the disk. It returns where there is
// none, with the disk ready to hibernate to.
func vmResumeOrSwapOn() error {
	dev, err := os.ReadFile("/sys/block/vda/dev")
	if err != nil {
		return err
	}
	// Without an image on the disk some kernels return an error, some do not.
	os.WriteFile("/sys/power/resume", dev, 0)
	name, err := unix.BytePtrFromString("/dev/vda")
	if err != nil {
		return err
	}
	// Sound: swapon reads a string that ends with a zero, and name lives until it has returned.
	if _, _, errno := unix.Syscall(unix.SYS_SWAPON, uintptr(unsafe.Pointer(name)), 0, 0); errno != 0 {
		return fmt.Errorf("swapon: %w", errno)
	}
	return os.WriteFile("/sys/power/disk", []byte("shutdown"), 0)
}

// vmCommands does what the host writes on the console.
func vmCommands(tty *os.File) error {
	in := bufio.NewScanner(tty)
	for in.Scan() {
		switch f := strings.Fields(in.Text()); {
		case len(f) == 2 && f[0] == "bump":
			out, err := exec.Command("/clonerand", "signal", "bump", "-id", f[1]).CombinedOutput()
			if err != nil {
				return fmt.Errorf("signal bump: %w: %s", err, out)
			}
		case len(f) == 1 && f[0] == "hibernate":
			if err := os.WriteFile("/sys/power/state", []byte("disk"), 0); err != nil {
				return err
			}
		}
	}
	return fmt.Errorf("the console is at its end: %v", in.Err())
}
