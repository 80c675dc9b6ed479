//go:build amd64 || arm64

package rand

import (
	"bufio"
	"crypto/aes"
	"crypto/cipher"
	crand "crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/clonerand/rand/internal/vmring"
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
	var specs []vmring.Spec
	for range vmCPUs {
		for i, g := range gens {
			spec := vmring.Spec{Name: g.name, Records: 1 << 14, Bytes: 4 << 20}
			if i == 0 {
				spec = vmring.Spec{Name: g.name, Records: 1 << 16, Bytes: 24 << 20}
			}
			specs = append(specs, spec)
		}
	}
	mem, err := unix.Mmap(-1, 0, (vmring.Size(specs)+vmHuge-1)&^(vmHuge-1), unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_POPULATE|unix.MAP_HUGETLB)
	if err != nil {
		return fmt.Errorf("memory for the records: %w", err)
	}
	where, err := vmPhysical(mem)
	if err != nil {
		return err
	}
	region, err := vmring.New(mem, specs)
	if err != nil {
		return err
	}
	region.SetRate(vmRate())
	if thisHost().pause.usable() != nil {
		region.SetCounterUsed()
	}

	failed, start := make(chan error), make(chan struct{})
	var homes []*instance
	for cpu := range vmCPUs {
		logs := region.Logs[cpu*len(gens):][:len(gens)]
		home := vmNewHome(homes, func(home *instance) {
			<-start
			failed <- vmReadForEver(cpu, gens, home, logs, region, large)
		})
		homes = append(homes, home)
	}
	close(start)
	fmt.Fprintf(tty, "vmtest memory %s\n", where)
	go func() { failed <- vmCommands(tty) }()
	return <-failed
}

const (
	vmCPUs  = 2
	vmHuge  = 2 << 20
	vmAhead = 16 << 10 // reads
)

type vmGenerator struct {
	name string
	new  func() (func([]byte) error, error) // called once by each goroutine
}

// vmNewHome starts a goroutine whose home shard is none of taken, tells it which it has, and returns it. The
// shard knows the last reading of the counter that a Read looked at, which the host has to know of the Read that a
// snapshot fell into. Where the counter is not used there is none, and the shard is nil.
func vmNewHome(taken []*instance, run func(home *instance)) *instance {
	for {
		found := make(chan *instance)
		go func() {
			runtime.LockOSThread()
			vmGrowStack()
			home := vmHome()
			found <- home
			if home != nil && slices.Contains(taken, home) {
				select {} // keeps the place of its stack from the next
			}
			run(home)
		}()
		if home := <-found; home == nil || !slices.Contains(taken, home) {
			return home
		}
	}
}

// vmHome is the shard that serves this goroutine as long as its stack stays where it is.
func vmHome() *instance {
	var b [16]byte
	Read(b[:])
	if thisHost().pause.usable() == nil {
		return nil
	}
	for {
		before := map[*instance]uint64{}
		for _, s := range vmShards() {
			before[s] = s.alone
		}
		Read(b[:])
		for _, s := range vmShards() {
			if s.alone != before[s] {
				return s
			}
		}
	}
}

func vmShards() (all []*instance) {
	shards := defaultReader.fleet.Load().shards
	for i := range shards {
		if s := shards[i].Load(); s != nil {
			all = append(all, s)
		}
	}
	return all
}

// vmGrowStack makes the stack larger than all that a Read needs, so that it does not move later; the host
// has switched off its shrinking.
//
//go:noinline
func vmGrowStack() byte {
	var b [128 << 10]byte
	for i := range b {
		b[i] = byte(i)
	}
	return b[os.Getpid()]
}

// vmReadForEver reads from the first generator in a tight loop, and now and then from the others.
func vmReadForEver(cpu int, gens []vmGenerator, home *instance, logs []*vmring.Log, region *vmring.Region, large bool) error {
	var set unix.CPUSet
	set.Set(cpu)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return err
	}
	var reads []func([]byte) error
	for _, g := range gens {
		read, err := g.new()
		if err != nil {
			return fmt.Errorf("%s: %w", g.name, err)
		}
		reads = append(reads, read)
	}
	once := func(g, n int) error {
		b := logs[g].Begin(cycles(), n)
		err := reads[g](b)
		var own uint64
		if g == 0 && home != nil {
			own = home.alone
		}
		logs[g].End(cycles(), own)
		return err
	}
	for i := 0; ; i++ {
		n := 16
		switch {
		case large && i%4096 == 2048:
			n = 1 << 20
		case i%32 == 31:
			n = 4 << 10
		case i%3 == 2:
			n = 64
		}
		if err := once(0, n); err != nil {
			return err
		}
		if i%8 == 7 {
			for g := 1; g < len(gens); g++ {
				if err := once(g, min(n, 64)); err != nil {
					return err
				}
			}
		}
		// Neither runs so far ahead of the other that its ring is full before both have read enough.
		for i%256 == 0 && logs[0].Count() > vmSlowest(region)+vmAhead {
			runtime.Gosched()
		}
		// Seldom: Generation looks for events too, and Read has to find them by itself.
		if cpu == 0 && i%1024 == 1023 {
			region.SetGeneration(Generation())
		}
	}
}

func vmSlowest(region *vmring.Region) uint64 {
	least := ^uint64(0)
	for cpu := range vmCPUs {
		least = min(least, region.Logs[cpu*len(region.Logs)/vmCPUs].Count())
	}
	return least
}

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

// vmPhysical says where mem lies in the machine's memory: "address:length ...".
func vmPhysical(mem []byte) (string, error) {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return "", err
	}
	f, err := os.Open("/proc/self/pagemap")
	if err != nil {
		return "", err
	}
	defer f.Close()
	start, err := vmStart(string(maps))
	if err != nil {
		return "", err
	}
	page := os.Getpagesize()
	entries := make([]byte, len(mem)/page*8)
	if _, err := f.ReadAt(entries, int64(start)/int64(page)*8); err != nil {
		return "", err
	}
	type run struct{ addr, len uint64 }
	var runs []run
	for i := 0; i < len(entries); i += 8 {
		e := binary.LittleEndian.Uint64(entries[i:])
		if e>>63 == 0 { // bit 63: present; bits 0 to 54: frame number (Documentation/admin-guide/mm/pagemap.rst)
			return "", errors.New("a page of the records is not in memory")
		}
		addr := e & (1<<55 - 1) * uint64(page)
		if n := len(runs); n > 0 && runs[n-1].addr+runs[n-1].len == addr {
			runs[n-1].len += uint64(page)
		} else {
			runs = append(runs, run{addr, uint64(page)})
		}
	}
	var s []string
	for _, r := range runs {
		s = append(s, fmt.Sprintf("%#x:%#x", r.addr, r.len))
	}
	return strings.Join(s, " "), nil
}

// vmStart finds the records in /proc/self/maps: the only mapping of huge pages.
func vmStart(maps string) (start uint64, err error) {
	for line := range strings.Lines(maps) {
		if strings.Contains(line, "hugepage") {
			_, err = fmt.Sscanf(line, "%x-", &start)
			return start, err
		}
	}
	return 0, errors.New("no huge pages in /proc/self/maps")
}

// vmRate measures the counter.
func vmRate() uint64 {
	t, c := time.Now(), cycles()
	time.Sleep(50 * time.Millisecond)
	return uint64(float64(cycles()-c) / time.Since(t).Seconds())
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

// vmCTR is the control that repeats in every clone.
func vmCTR() (func([]byte) error, error) {
	key := make([]byte, 32)
	if _, err := crand.Read(key); err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	stream := cipher.NewCTR(block, make([]byte, aes.BlockSize))
	return func(b []byte) error {
		clear(b)
		stream.XORKeyStream(b, b)
		return nil
	}, nil
}

func vmKernel() (func([]byte) error, error) {
	return func(b []byte) error { _, err := crand.Read(b); return err }, nil
}

func vmGenerators() []vmGenerator {
	all := []vmGenerator{
		{"clonerand", func() (func([]byte) error, error) {
			return func(b []byte) error { _, err := Read(b); return err }, nil
		}},
		{"unguarded", func() (func([]byte) error, error) {
			r := newUnguardedReader()
			return func(b []byte) error { _, err := r.Read(b); return err }, nil
		}},
		{"crypto/rand", vmKernel},
		{"AES-CTR", vmCTR},
	}
	if os.Getenv("CLONERAND_VMTEST_SIGNALS") != "" {
		all = append(all, vmGenerator{"signals alone", func() (func([]byte) error, error) {
			r := newReaderOn(&host{clones: newCloneWatch(), pause: neverPaused(), system: cryptoReader, random: cpuRandom})
			return func(b []byte) error { _, err := r.Read(b); return err }, nil
		}})
	}
	return all
}
