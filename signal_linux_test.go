package rand

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/clonerand/rand/internal/signalfile"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// vmclockPage returns a VMClock page as QEMU or Firecracker fills it in, changed by edit.
func vmclockPage(edit func(page []byte)) []byte {
	page := make([]byte, 4096)
	binary.LittleEndian.PutUint32(page[0:], 0x4b4c4356)
	binary.LittleEndian.PutUint32(page[4:], 4096)
	binary.LittleEndian.PutUint16(page[8:], 1)
	binary.LittleEndian.PutUint32(page[12:], 6)    // seq_count
	binary.LittleEndian.PutUint64(page[16:], 17)   // disruption_marker
	binary.LittleEndian.PutUint64(page[24:], 1<<8) // flags
	binary.LittleEndian.PutUint64(page[104:], 3)   // vm_generation_counter
	if edit != nil {
		edit(page)
	}
	return page
}

func writeSignalFile(t *testing.T, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "page")
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestVMClockLayoutDecidesWhatIsWatched(t *testing.T) {
	u16, u32, u64 := binary.LittleEndian.PutUint16, binary.LittleEndian.PutUint32, binary.LittleEndian.PutUint64
	for _, c := range []struct {
		name  string
		page  []byte
		watch []int
		why   string
	}{
		{"marker and counter", vmclockPage(nil), []int{13, 2}, ""},
		{"QEMU 10.0 has no flags", vmclockPage(func(p []byte) { u64(p[24:], 0) }), []int{2}, ""},
		{"other flags say nothing about the counter", vmclockPage(func(p []byte) { u64(p[24:], ^uint64(1<<8)) }), []int{2}, ""},
		{"size just covers the counter", vmclockPage(func(p []byte) { u32(p[4:], 112) }), []int{13, 2}, ""},
		{"size ends inside the counter", vmclockPage(func(p []byte) { u32(p[4:], 111) }), []int{2}, ""},
		{"size just covers the flags", vmclockPage(func(p []byte) { u32(p[4:], 32) }), []int{2}, ""},
		{"size ends inside the flags", vmclockPage(func(p []byte) { u32(p[4:], 31) }), nil, "size 31 does not cover"},
		{"size 0", vmclockPage(func(p []byte) { u32(p[4:], 0) }), nil, "size 0 does not cover"},
		{"wrong magic", vmclockPage(func(p []byte) { p[0] = 'v' }), nil, "is no VMClock page"},
		{"all zeros", make([]byte, 4096), nil, "is no VMClock page"},
		{"version 0", vmclockPage(func(p []byte) { u16(p[8:], 0) }), nil, "version 0 is unknown"},
		{"version 2", vmclockPage(func(p []byte) { u16(p[8:], 2) }), nil, "version 2 is unknown"},
		{"an update that never ends", vmclockPage(func(p []byte) { u32(p[12:], 7) }), nil, "seq_count stays odd"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := openVMClockAt(writeSignalFile(t, c.page))
			checkSignal(t, s, c.watch, c.why)
			if c.why != "" {
				return
			}
			if len(s.memory) != 14 {
				t.Errorf("%d words are mixed into a reseed, want 14", len(s.memory))
			}
			if got, want := s.inspect().Detail, ", value 17"; !strings.Contains(got, want) {
				t.Errorf("the report says %q, want %q in it", got, want)
			}
		})
	}
}

func TestVMClockWaitsForAnUpdateToEnd(t *testing.T) {
	var s signal
	for range 20 { // on a busy machine the update may end too late
		path := writeSignalFile(t, vmclockPage(func(p []byte) { p[12] = 7 }))
		ended := make(chan error)
		go func() {
			time.Sleep(3 * time.Millisecond)
			ended <- writeAt(path, 12, []byte{8})
		}()
		s = openVMClockAt(path)
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		if s.why() == "" {
			break
		}
	}
	checkSignal(t, s, []int{13, 2}, "")
}

// Every kind of file that is no signal, for each of the three: never a crash, a hang or a SIGBUS, and a reason.
func TestAFileThatIsNoSignalIsNotUsed(t *testing.T) {
	valid := vmclockPage(nil) // valid for all three
	root := os.Geteuid() == 0
	for _, c := range []struct {
		name string
		make func(t *testing.T, path string) error
		why  string
	}{
		{"missing", func(t *testing.T, path string) error { return nil }, "not there"},
		{"empty", func(t *testing.T, path string) error { return os.WriteFile(path, nil, 0o644) }, "has 0 bytes, fewer than 64"},
		{"short", func(t *testing.T, path string) error { return os.WriteFile(path, valid[:63], 0o644) }, "has 63 bytes, fewer than 64"},
		{"folder", func(t *testing.T, path string) error { return os.Mkdir(path, 0o755) }, "is not a regular file"},
		{"FIFO", func(t *testing.T, path string) error { return unix.Mkfifo(path, 0o644) }, "is not a regular file"},
		{"socket", func(t *testing.T, path string) error {
			l, err := net.Listen("unix", path)
			if err == nil {
				t.Cleanup(func() { l.Close() })
			}
			return err
		}, "no such device or address"},
		{"symbolic link to a valid file", func(t *testing.T, path string) error {
			return os.Symlink(writeSignalFile(t, valid), path)
		}, "is a symbolic link"},
		{"symbolic link to nowhere", func(t *testing.T, path string) error { return os.Symlink("nowhere", path) }, "is a symbolic link"},
		{"below a file", func(t *testing.T, path string) error {
			if err := os.RemoveAll(filepath.Dir(path)); err != nil {
				return err
			}
			return os.WriteFile(filepath.Dir(path), valid, 0o644)
		}, "not a directory"},
		{"owned by another user", func(t *testing.T, path string) error {
			if !root {
				t.Skip("only root can give a file to another user")
			}
			return errors.Join(os.WriteFile(path, valid, 0o644), os.Chown(path, 12345, -1))
		}, "belongs to user 12345"},
		{"writable by its group", func(t *testing.T, path string) error {
			return errors.Join(os.WriteFile(path, valid, 0o644), os.Chmod(path, 0o664))
		}, "is writable by others (mode 0664)"},
		{"writable by everybody", func(t *testing.T, path string) error {
			return errors.Join(os.WriteFile(path, valid, 0o644), os.Chmod(path, 0o646))
		}, "is writable by others (mode 0646)"},
		{"not readable", func(t *testing.T, path string) error {
			if root {
				t.Skip("root may read every file")
			}
			return os.WriteFile(path, valid, 0)
		}, "permission denied"},
		{"a hole on a full file system", func(t *testing.T, path string) error {
			if !root {
				t.Skip("only root can mount a small file system")
			}
			dir := filepath.Dir(path)
			if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=4096,nr_inodes=10"); err != nil {
				t.Skip("mount a tmpfs:", err)
			}
			t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
			return errors.Join(os.WriteFile(path, nil, 0o644), os.Truncate(path, 4096), // no page of its own yet
				os.WriteFile(filepath.Join(dir, "fill"), make([]byte, 4096), 0o644))
		}, "is a hole that cannot be read"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "folder", "page")
			if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := c.make(t, path); err != nil {
				t.Fatal(err)
			}
			for _, open := range []func(string) signal{openVMClockAt, openSysGenIDAt, openGenerationFileAt} {
				checkSignal(t, open(path), nil, c.why)
			}
		})
	}
}

// In a user namespace that maps nobody, all users look like the one that this process runs as.
func TestAFileOfAnUnmappedUserIsNotUsed(t *testing.T) {
	const env = "CLONERAND_TEST_UNMAPPED"
	if path := os.Getenv(env); path != "" {
		checkSignal(t, openGenerationFileAt(path), nil, "belongs to user 65534, who may be any user that this user namespace does not map")
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("only root can give a file to another user")
	}
	skipEmulated(t, "the kernel starts no program of another CPU")
	dir := memoryDir(t)
	path := filepath.Join(dir, "generation")
	if err := errors.Join(os.Chmod(dir, 0o755), os.WriteFile(path, make([]byte, 64), 0o644), os.Chown(path, 54321, 54321)); err != nil {
		t.Fatal(err)
	}
	rerun(t, env+"="+path, func(cmd *exec.Cmd) {
		cmd.Path, cmd.Dir = "/proc/self/exe", "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER}
	})
}

func TestACharacterDeviceIsNoGenerationFile(t *testing.T) {
	checkSignal(t, openGenerationFileAt("/dev/zero"), nil, "is not a regular file")
	checkSignal(t, openVMClockAt("/dev/zero"), nil, "is no VMClock page") // a device that can be mapped
	checkSignal(t, openVMClockAt("/dev/null"), nil, "cannot be mapped")   // one that cannot
	checkSignal(t, openSysGenIDAt("/dev/zero"), []int{0}, "")
}

// On a tmpfs with room a hole becomes a page when the file is opened.
func TestAHoleWithRoomIsUsed(t *testing.T) {
	dir, err := os.MkdirTemp("/dev/shm", "signal")
	if err != nil {
		t.Skip("no tmpfs:", err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "generation")
	if err := errors.Join(os.WriteFile(path, nil, 0o644), os.Truncate(path, 64)); err != nil {
		t.Fatal(err)
	}
	s := openGenerationFileAt(path)
	if strings.Contains(s.why(), "is a hole") {
		t.Skip("this kernel cannot make the page beforehand as Linux 5.14 and later can")
	}
	checkSignal(t, s, []int{0}, "")
}

// The three signals as the environment asks for them. No test machine is expected to have the devices.
func TestEnvironmentLeavesASignalOutOrNamesAFile(t *testing.T) {
	file := writeSignalFile(t, make([]byte, 64))
	for _, c := range []struct {
		variable, value string
		open            func() signal
		watch           []int
		why             string
	}{
		{"CLONERAND_VMCLOCK", "off", openVMClock, nil, "left out by CLONERAND_VMCLOCK=off"},
		{"CLONERAND_SYSGENID", "off", openSysGenID, nil, "left out by CLONERAND_SYSGENID=off"},
		{"CLONERAND_GENERATION", "off", openGenerationFile, nil, "left out by CLONERAND_GENERATION=off"},
		{"CLONERAND_GENERATION", file, openGenerationFile, []int{0}, ""},
		{"CLONERAND_GENERATION", file + ".no", openGenerationFile, nil, file + ".no: not there"},
		{"CLONERAND_GENERATION", "generation", openGenerationFile, nil, "no absolute path"},
	} {
		t.Run(c.variable+"="+c.value, func(t *testing.T) {
			t.Setenv(c.variable, c.value)
			checkSignal(t, c.open(), c.watch, c.why)
		})
	}
}

// Somebody else, who has the file mapped or writes to it, is seen by a plain load.
func TestAWriteToTheFileIsSeenThroughTheMapping(t *testing.T) {
	path := writeSignalFile(t, make([]byte, 64))
	s := openGenerationFileAt(path)
	checkSignal(t, s, []int{0}, "")
	for i := uint64(1); i < 100; i++ {
		if err := writeAt(path, 0, binary.LittleEndian.AppendUint64(nil, i)); err != nil {
			t.Fatal(err)
		}
		if got := signalfile.LittleEndian(atomic.LoadUint64(&s.memory[0])); got != i {
			t.Fatalf("the counter is %d after a write of %d", got, i)
		}
	}
	if err := os.Remove(path); err != nil { // the mapping keeps the file
		t.Fatal(err)
	}
	if atomic.LoadUint64(&s.memory[0]) == 0 {
		t.Error("the memory is gone with the name")
	}
}

// A program that runs with more rights than its caller has must not listen to the caller's environment.
func TestASetUserIDProgramIgnoresTheEnvironment(t *testing.T) {
	const variable = "CLONERAND_VMCLOCK"
	if os.Getenv("CLONERAND_TEST_SETTING") != "" {
		fmt.Printf("setting=%q", setting(variable))
		os.Exit(0)
	}
	if os.Geteuid() != 0 {
		t.Skip("only root can make a set-user-ID program of root's and run it as another user")
	}
	dir, err := os.MkdirTemp("/var/tmp", "setuid") // /tmp is mounted nosuid on many machines
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "program")
	if err := errors.Join(os.Chmod(dir, 0o755), os.WriteFile(program, self, 0o755)); err != nil {
		t.Fatal(err)
	}
	for mode, want := range map[os.FileMode]string{0o755: `setting="off"`, 0o755 | os.ModeSetuid: `setting=""`} {
		if err := os.Chmod(program, mode); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(program, "-test.run=^"+t.Name()+"$")
		cmd.Dir = "/"
		cmd.Env = []string{"CLONERAND_TEST_SETTING=1", variable + "=off"}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		out, err := cmd.CombinedOutput()
		if errors.Is(err, unix.ENOEXEC) {
			t.Skip("the kernel cannot run the programs of an emulated CPU:", err)
		}
		if err != nil {
			t.Fatalf("%v: %v\n%s", mode, err, out)
		}
		if string(out) != want {
			t.Errorf("mode %v: %s, want %s", mode, out, want)
		}
	}
}

func FuzzVMClockLayout(f *testing.F) {
	f.Add(vmclockPage(nil)[:112])
	f.Add(vmclockPage(func(p []byte) { p[12] = 1 })[:200])
	f.Add([]byte("VCLK"))
	f.Fuzz(func(t *testing.T, b []byte) {
		watch, hints, err := parseVMClock(b)
		if (err == nil) != (len(watch) > 0) {
			t.Fatalf("watch %v, error %v", watch, err)
		}
		all := append(watch, hints...)
		slices.Sort(all)
		for _, w := range all {
			if 8*w+8 > len(b) || uint32(8*w+8) > binary.LittleEndian.Uint32(b[4:]) {
				t.Errorf("word %d lies outside the page", w)
			}
		}
		if err == nil && (string(b[:4]) != "VCLK" || b[8] != 1 || b[9] != 0 || b[12]&1 != 0 || all[0] != 2) {
			t.Errorf("accepted % x as %v", b[:32], watch)
		}
	})
}

// Whatever a file holds, each of the three either uses it or says why not.
func FuzzSignalFile(f *testing.F) {
	f.Add(vmclockPage(nil))
	f.Add(make([]byte, 63))
	path := filepath.Join(f.TempDir(), "page")
	f.Fuzz(func(t *testing.T, content []byte) {
		if len(content) > 12 {
			content[12] &^= 1 // an unfinished update costs 50 ms; the table above has it
		}
		path := fmt.Sprint(path, os.Getpid())
		defer os.Remove(path)
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
		for _, open := range []func(string) signal{openVMClockAt, openSysGenIDAt, openGenerationFileAt} {
			s := open(path)
			if (s.why() == "") != (s.memory != nil) || (s.why() == "") != (len(content) >= 64 && (s.name != "vmclock" || len(s.watch) > 0)) {
				t.Errorf("%d bytes: %+v", len(content), s)
			}
			if s.memory != nil {
				_ = s.inspect()
				signalfile.Unmap(s.memory)
			}
		}
	})
}

// checkSignal wants a signal that watches those words or, where why is given, one that is not used for it.
func checkSignal(t *testing.T, s signal, watch []int, why string) {
	t.Helper()
	if diff := cmp.Diff(watch, append(s.watch, s.hints...)); diff != "" {
		t.Errorf("%s watches other words (-want +got):\n%s", s.name, diff)
	}
	if (why == "") != (s.why() == "") || !strings.Contains(s.why(), why) {
		t.Errorf("%s is not used because %q, want %q", s.name, s.why(), why)
	}
	if (s.memory != nil) != (why == "") {
		t.Errorf("%s: %d words mapped, reason %q", s.name, len(s.memory), s.why())
	}
}

func writeAt(path string, offset int64, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, offset)
	return errors.Join(err, f.Close())
}

// TestInputsOfASeedingFitIntoTheirRoom counts all that can go into one: with every signal
// of Linux, a chain, a salt and the random instruction. More than the room panics.
func TestInputsOfASeedingFitIntoTheirRoom(t *testing.T) {
	withSignals := func(words ...int) int {
		h := newWorld(0).host()
		for _, n := range words {
			h.clones.signals = append(h.clones.signals, func() signal { return signal{name: "test", memory: make([]uint64, n)} })
		}
		s := newState(newConfig(h), 0)
		s.buffer.startMixing()
		b, random := s.extraInput(nil, (&epoch{id: 1}).chainOn(nil), true, true)
		if !random {
			t.Error("the random instruction gave nothing")
		}
		return len(b)
	}
	all := []int{vmclockWords, 1, signalfile.Size / 8}
	if len(all) != len(signals) {
		t.Errorf("%d signals are counted, and there are %d", len(all), len(signals))
	}
	n := withSignals(all...)
	if want := blockLen + seedLen + cpuInputLen + 4*8 + 8*(vmclockWords+1) + signalfile.Size; n != want {
		t.Errorf("the inputs have %d bytes, not %d", n, want)
	}
	withSignals(append(all, (maxExtra-n)/8)...) // all of the room
	defer func() {
		if recover() == nil {
			t.Error("one word more than the room holds did not panic")
		}
	}()
	withSignals(append(all, (maxExtra-n)/8+1)...)
}

// OnClone is told by a real generation file, and by a file that stands in for VMClock.
func TestOnCloneIsToldByTheSignals(t *testing.T) {
	for name, c := range map[string]struct {
		page   []byte
		open   func(path string) signal
		offset int64
	}{
		"generation file": {make([]byte, 64), openGenerationFileAt, 0},
		"vmclock":         {vmclockPage(nil), openVMClockAt, 8 * vmclockCounter},
	} {
		t.Run(name, func(t *testing.T) {
			path := writeSignalFile(t, c.page)
			w := noDetectors()
			w.signals = []func() signal{func() signal { return c.open(path) }}
			told := make(chan uint64, 10)
			defer w.onClone(func(generation uint64) { told <- generation })()
			if why := w.current().signals[0].why(); why != "" {
				t.Fatal(why)
			}
			for i := range uint64(3) {
				if err := writeAt(path, c.offset, binary.LittleEndian.AppendUint64(nil, 1000+i)); err != nil {
					t.Fatal(err)
				}
				wantTold(t, told, i+2)
			}
		})
	}
}

// The owner of a generation file shrinks it, and a program that recovers from faults goes on. No lock
// stays held: once the file is whole again, so is every Read.
func TestAFaultInASignalLeavesNoLockHeld(t *testing.T) {
	skipEmulated(t, "the emulator ends the process")
	for _, size := range []int{16, 48, 200, 5000} {
		path := writeSignalFile(t, make([]byte, 64))
		h := newWorld(0).host()
		h.clones.signals = []func() signal{func() signal { return openGenerationFileAt(path) }}
		r := newPool(h, 1)
		readN(t, r, 16)
		readN(t, r, 16)
		if err := os.Truncate(path, 0); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, size)
		if !recovered(t, func() { r.Read(b) }) {
			t.Fatalf("a Read of %d bytes did not look at the signal", size)
		}
		if !bytes.Equal(b, make([]byte, size)) {
			t.Errorf("a fault in a Read of %d bytes leaves output that was not checked", size)
		}
		if err := os.Truncate(path, 64); err != nil {
			t.Fatal(err)
		}
		if !r.shard(0).lock.tryLock() {
			t.Errorf("the lock is held for ever after a fault in a Read of %d bytes", size)
		}
	}
}
