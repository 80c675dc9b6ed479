//go:build amd64 || arm64

package vmguest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/clonerand/rand/internal/probe"
)

// Run runs a guest and does not return, where this process is the first of a machine that vmtest has booted. newGuest is
// called when the machine is set up.
func Run(newGuest func() Guest) {
	if os.Getpid() != 1 || os.Getenv("CLONERAND_VMTEST") == "" {
		return
	}
	var console io.Writer = os.Stderr
	err := run(&console, newGuest)
	fmt.Fprintf(console, "vmtest error %v\n", err)
	time.Sleep(100 * time.Millisecond) // the console is a slow line
	unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

func run(console *io.Writer, newGuest func() Guest) error {
	if err := mounts(); err != nil {
		return err
	}
	tty, err := os.OpenFile(os.Getenv("CLONERAND_VMTEST_CONSOLE"), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	*console = tty
	if err := modules(); err != nil {
		return err
	}
	if Asked("SWAP") {
		if err := resumeOrSwapOn(); err != nil {
			return err
		}
	}
	if Asked("FILE") {
		if err := command("signal", "init"); err != nil {
			return err
		}
	}
	if Asked("PROBE") {
		return runProbe(tty)
	}
	g := newGuest()
	if g.Patched != Asked("PATCHED") {
		return fmt.Errorf("the standard library draws from the package: %v", g.Patched)
	}
	counter, _ := probe.NewCounter(true)
	region, where, err := newRegion(g, counter)
	if err != nil {
		return err
	}
	failed := make(chan error)
	for cpu := range cpus {
		go func() { failed <- g.read(cpu, counter, region) }()
	}
	fmt.Fprintf(tty, "vmtest counter %q\n", g.Counter)
	fmt.Fprintf(tty, "vmtest memory %s\n", where)
	go func() { failed <- commands(tty) }()
	if Asked("GUARD") {
		runtime.GOMAXPROCS(2 * cpus) // those that read leave no room for another
		go func() { failed <- guard(region.Logs[len(region.Logs)-1]) }()
	}
	return <-failed
}

// Asked reports whether the host has named this in the guest's environment.
func Asked(what string) bool { return os.Getenv("CLONERAND_VMTEST_"+what) != "" }

const (
	cpus  = 2
	ahead = 16 << 10 // reads that one may be ahead of the other
)

// read reads for ever on one CPU.
func (g Guest) read(cpu int, counter probe.Counter, region *probe.Region) error {
	runtime.LockOSThread()
	var set unix.CPUSet
	set.Set(cpu)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return err
	}
	large := Asked("LARGE")
	logs := region.Logs[cpu*len(g.Generators):][:len(g.Generators)]
	return probe.Loop{
		Counter: counter, Generators: g.Generators, Logs: logs,
		Size: func(turn int) int {
			switch {
			case large && turn%4096 == 2048:
				return 1 << 20
			case turn%32 == 31:
				return 4 << 10
			case turn%3 == 2:
				return 64
			}
			return 16
		},
		Turn: func(turn int) {
			// Neither runs so far ahead of the other that its records are gone before both have read enough.
			for turn%256 == 0 && logs[0].Count() > slowest(region, len(g.Generators))+ahead {
				runtime.Gosched()
			}
			// Seldom: Generation looks for events too, and Read has to find them by itself.
			if cpu == 0 && turn%1024 == 1023 {
				region.SetGeneration(g.Generation())
			}
		},
	}.Run(new(atomic.Bool))
}

func slowest(region *probe.Region, generators int) uint64 {
	least := ^uint64(0)
	for cpu := range cpus {
		least = min(least, region.Logs[cpu*generators].Count())
	}
	return least
}

func mounts() error {
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

// modules loads what the host has put into /modules, in the order of the names.
func modules() error {
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

// resumeOrSwapOn goes on with the machine that hibernated to the disk. It returns where there is
// none, with the disk ready to hibernate to.
func resumeOrSwapOn() error {
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

// commands does what the host writes on the console.
func commands(tty *os.File) error {
	in := bufio.NewScanner(tty)
	for in.Scan() {
		switch f := strings.Fields(in.Text()); {
		case len(f) == 2 && f[0] == "bump":
			if err := command("signal", "bump", "-id", f[1]); err != nil {
				return err
			}
		case len(f) == 1 && f[0] == "hibernate":
			if err := os.WriteFile("/sys/power/state", []byte("disk"), 0); err != nil {
				return err
			}
		}
	}
	return fmt.Errorf("the console is at its end: %v", in.Err())
}

// command runs the clonerand command.
func command(args ...string) error {
	if out, err := exec.Command("/clonerand", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("clonerand %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}
