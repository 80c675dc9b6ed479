package rand

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const mountTestEnv = "CLONERAND_TEST_MOUNTS"

// inMountNamespace runs the test again as root of a mount namespace of its own, so
// that no mount is left behind, and tells whether this is that process.
func inMountNamespace(t *testing.T) bool {
	t.Helper()
	if os.Getenv(mountTestEnv) != "" {
		return true
	}
	rerun(t, mountTestEnv+"=1", func(cmd *exec.Cmd) {
		cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS}
		if os.Getuid() != 0 {
			cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWUSER
			cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
			cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
		}
	})
	return false
}

// smallDisk mounts a file system of 64 KiB with a seed in it.
func smallDisk(t *testing.T, options string) (s *NVSeed, dir, path string) {
	t.Helper()
	dir = t.TempDir()
	if err := unix.Mount("clonerand", dir, "tmpfs", 0, "mode=0755,size=64k,"+options); err != nil {
		t.Skip("mount:", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	path = filepath.Join(dir, "seed")
	if err := CreateNVSeed(path); err != nil {
		t.Fatal(err)
	}
	return openSeed(t, path), dir, path
}

func TestNVSeedOnAFullDisk(t *testing.T) {
	if !inMountNamespace(t) {
		return
	}
	for _, c := range []struct{ name, options string }{
		{"no blocks left", ""},
		{"no inodes left", "nr_inodes=4"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, dir, path := smallDisk(t, c.options)
			filler := filepath.Join(dir, "filler")
			if err := os.WriteFile(filler, make([]byte, 1<<20), 0o600); c.options == "" && err == nil {
				t.Fatal("the disk is not small")
			}
			wantSeed(t, s, path, "no space left on device", "free some space in "+dir)
			wantErr(t, "CreateNVSeed", CreateNVSeed(path+"2"), "free some space in "+dir)
			if _, err := os.Lstat(path + "2"); err == nil {
				t.Error("CreateNVSeed left a file")
			}
			if err := os.Remove(filler); err != nil {
				t.Fatal(err)
			}
			mustDraw(t, s, 48, "")
		})
	}
}

func TestNVSeedInAReadOnlyPlace(t *testing.T) {
	if !inMountNamespace(t) {
		return
	}
	for _, lock := range []string{"with a lock file", "without a lock file"} {
		t.Run(lock, func(t *testing.T) {
			s, dir, path := smallDisk(t, "")
			if lock == "without a lock file" {
				os.Remove(path + ".lock")
			}
			if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
				t.Skip("remount:", err)
			}
			wantSeed(t, s, path, dir+" is read-only, and a seed must be advanced at every draw: move it to a writable place")
			if err := unix.Mount("", dir, "", unix.MS_REMOUNT, ""); err != nil {
				t.Fatal(err)
			}
			mustDraw(t, s, 48, "")
		})
	}
}

// What a draw could not replace is no seed that can be used: OpenNVSeed finds out without a draw.
func TestNVSeedThatCannotBeReplaced(t *testing.T) {
	if !inMountNamespace(t) {
		return
	}
	bind := func(t *testing.T, from, to string, flags uintptr) {
		if err := unix.Mount(from, to, "", unix.MS_BIND, ""); err != nil {
			t.Skip("bind mount:", err)
		}
		t.Cleanup(func() { unix.Unmount(to, unix.MNT_DETACH) })
		if flags != 0 {
			if err := unix.Mount("", to, "", unix.MS_BIND|unix.MS_REMOUNT|flags, ""); err != nil {
				t.Skip("remount:", err)
			}
		}
	}
	attribute := func(t *testing.T, path string, flag int) {
		old := setFileAttribute(t, path, flag)
		t.Cleanup(func() { setFileAttribute(t, path, old) })
	}
	empty := func(t *testing.T, path string) {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const immutable, appendOnly = 0x10, 0x20 // FS_IMMUTABLE_FL, FS_APPEND_FL of linux/fs.h
	const mount, mode, attributed = "the file is a mount of its own and cannot be replaced: mount its folder DIR instead",
		"DIR is read-only, and a seed must be advanced at every draw: move it to a writable place",
		"operation not permitted: an attribute of the file or of DIR forbids it (chattr -ia takes it away on Linux)"
	for _, c := range []struct {
		name string
		do   func(t *testing.T, dir, path string)
		want string
	}{
		{"a mount of itself", func(t *testing.T, dir, path string) { bind(t, path, path, 0) }, mount},
		{"a mount of another file", func(t *testing.T, dir, path string) {
			other := filepath.Join(memoryDir(t), "seed")
			if err := CreateNVSeed(other); err != nil {
				t.Fatal(err)
			}
			bind(t, other, path, 0)
		}, mount},
		{"a read-only mount of itself", func(t *testing.T, dir, path string) { bind(t, path, path, unix.MS_RDONLY) }, mount},
		{"a mount in a read-only folder", func(t *testing.T, dir, path string) {
			bind(t, dir, dir, unix.MS_RDONLY)
			bind(t, path, path, 0)
		}, mode},
		{"a read-only mount of the folder", func(t *testing.T, dir, path string) { bind(t, dir, dir, unix.MS_RDONLY) }, mode},
		{"a mount of the folder", func(t *testing.T, dir, path string) { bind(t, dir, dir, 0) }, ""},
		{"immutable", func(t *testing.T, dir, path string) { attribute(t, path, immutable) }, attributed},
		{"append only", func(t *testing.T, dir, path string) { attribute(t, path, appendOnly) }, attributed},
		{"in an immutable folder", func(t *testing.T, dir, path string) { attribute(t, dir, immutable) }, attributed},
		{"in an append-only folder", func(t *testing.T, dir, path string) { attribute(t, dir, appendOnly) }, attributed},
		{"FILE.lock is immutable", func(t *testing.T, dir, path string) { attribute(t, path+".lock", immutable) }, attributed},
		{"FILE.next is a mount", func(t *testing.T, dir, path string) {
			empty(t, path+".next")
			bind(t, path+".next", path+".next", 0)
		}, "device or resource busy"},
		{"FILE.next is immutable", func(t *testing.T, dir, path string) {
			empty(t, path+".next")
			attribute(t, path+".next", immutable)
		}, attributed},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "seed")
			if err := CreateNVSeed(path); err != nil {
				t.Fatal(err)
			}
			s := openSeed(t, path)
			c.do(t, dir, path)
			wantSeed(t, s, path, strings.ReplaceAll(c.want, "DIR", dir))
		})
	}
}

// setFileAttribute gives a file one attribute (chattr(1)) and returns what it had.
func setFileAttribute(t *testing.T, path string, flags int) (old int) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	had, err := unix.IoctlGetInt(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, had&^0x30|flags&0x30)
	}
	if err != nil {
		t.Skip("file attributes:", err)
	}
	return had & 0x30
}

func TestNVSeedInAFolderThatIsNotOurs(t *testing.T) {
	s, path := newSeed(t)
	dir := filepath.Dir(path)
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(dir, 0o700)
	if os.Getuid() == 0 {
		dropDACOverride(t)
	}
	wantSeed(t, s, path, "permission denied", "run as a user who can read and write in "+dir+", or move the seed")
}

// In a user namespace that maps one user, all others look like nobody. Their folders may lie above the seed's.
func TestNVSeedInAUserNamespace(t *testing.T) {
	const env = "CLONERAND_TEST_USER_NAMESPACE"
	if dir := os.Getenv(env); dir != "" {
		for name, want := range map[string]string{
			"own/seed":     "",
			"own/link":     "the symbolic link " + dir + "/own/link belongs to user 65534",
			"strange/seed": "its folder " + dir + "/strange belongs to user 65534, who may be any user that this user namespace does not map",
		} {
			s, err := newNVSeed(filepath.Join(dir, name))
			if err == nil {
				_, err = s.Read(make([]byte, 48))
			}
			wantErr(t, name, err, want)
		}
		return
	}
	if os.Getuid() != 0 {
		t.Skip("only root can give a file to another user")
	}
	skipEmulated(t, "the kernel starts no program of another CPU")
	dir := memoryDir(t)
	for name, uid := range map[string]int{"own": 12345, "strange": 54321} {
		folder := filepath.Join(dir, name)
		seed := filepath.Join(folder, "seed")
		if err := errors.Join(os.Chmod(dir, 0o755), os.Mkdir(folder, 0o755), CreateNVSeed(seed),
			os.Chown(seed, uid, uid), os.Chown(seed+".lock", uid, uid), os.Chown(folder, uid, uid)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("seed", filepath.Join(dir, "own", "link")); err != nil { // root's, who is not mapped
		t.Fatal(err)
	}
	rerun(t, env+"="+dir, func(cmd *exec.Cmd) {
		cmd.Path, cmd.Dir = "/proc/self/exe", "/"
		ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 12345, Size: 1}}
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags: unix.CLONE_NEWUSER, UidMappings: ids, GidMappings: ids,
			Credential: &syscall.Credential{NoSetGroups: true},
		}
	})
}

// dropDACOverride makes root a user like any other, for file modes, on this
// thread, which ends with the test.
func dropDACOverride(t *testing.T) {
	t.Helper()
	runtime.LockOSThread()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		t.Skip("capget:", err)
	}
	data[0].Effective &^= 1<<unix.CAP_DAC_OVERRIDE | 1<<unix.CAP_DAC_READ_SEARCH
	if err := unix.Capset(&header, &data[0]); err != nil {
		t.Skip("capset:", err)
	}
}

// A power failure cannot be had in a test. That nothing is handed out before
// the next seed is on the disk can be seen in the order of the system calls.
func TestNVSeedIsDurableBeforeItsOutput(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("needs strace:", err)
	}
	_, path := newSeed(t)
	log := filepath.Join(t.TempDir(), "log")
	cmd := seedHelper(t, "draw", path, "1")
	cmd.Args = append([]string{strace, "-f", "-o", log, "-e", "trace=openat,?fcntl,?fcntl64,write,fsync,?rename,?renameat,?renameat2", cmd.Path}, cmd.Args[1:]...)
	cmd.Path = strace
	out, err := cmd.Output()
	if err != nil && len(out) == 0 {
		t.Skip("strace cannot trace here:", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	dir := regexp.QuoteMeta(filepath.Dir(path))
	rest := string(mustReadFile(t, log))
	for _, call := range []string{
		`openat\(AT_FDCWD, "` + dir + `", O_RDONLY`,
		`fcntl(?:64)?\(\d+, F_SETLK(?:64)?, \{l_type=F_WRLCK.*= 0\n`,
		`openat\(\d+, "seed", O_RDONLY`,
		`openat\(\d+, "seed\.next", O_WRONLY\|O_CREAT\|O_EXCL\|.*, 0600\) = \d+\n`,
		`write\(\d+, .*, 64\) += 64\n`,
		`fsync\(\d+\) += 0\n`,
		`renameat2?\(\d+, "seed\.next", \d+, "seed".*= 0\n`,
		`fsync\(\d+\) += 0\n`,
		`write\(1, "` + strings.TrimSpace(string(out))[:32], // strace shows the beginning
	} {
		at := regexp.MustCompile(call).FindStringIndex(rest)
		if at == nil {
			t.Fatalf("no %s in what is left of the draw:\n%s\nall of it:\n%s", call, rest, mustReadFile(t, log))
		}
		rest = rest[at[1]:]
	}
}

// File systems in user space and some of the network return EINTR. Each third call does here, once the
// program has begun.
func TestNVSeedWhereCallsAreInterrupted(t *testing.T) {
	skipEmulated(t, "the calls of the emulator itself would be interrupted")
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("needs strace:", err)
	}
	for _, calls := range []string{"openat", "?fcntl,?fcntl64", "fstat,?statx", "newfstatat,?fstatat64", "read", "write", "fsync", "?rename,?renameat,?renameat2", "unlinkat"} {
		_, path := newSeed(t)
		log := filepath.Join(t.TempDir(), "log")
		cmd := seedHelper(t, "draw", path, "20")
		cmd.Args = append([]string{strace, "-f", "-o", log, "-e", "inject=" + calls + ":error=EINTR:when=12+3", cmd.Path}, cmd.Args[1:]...)
		cmd.Path, cmd.Stderr = strace, nil
		if out, err := cmd.Output(); err != nil {
			if did, _ := os.ReadFile(log); len(out) == 0 && !bytes.Contains(did, []byte("INJECTED")) {
				t.Skip("strace cannot change calls here:", err)
			}
			var exit *exec.ExitError
			errors.As(err, &exit)
			t.Errorf("%s: %v\n%s", calls, err, exit.Stderr)
		}
	}
}

// forkSeed forks for real. The child runs f, hands its 48 bytes (or words about
// its error) to the parent and ends.
func forkSeed(t *testing.T, f func(out []byte) error) (result func() (string, error)) {
	t.Helper()
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	pid, errno := forkRaw(0, 0)
	if errno != 0 {
		t.Fatal(errno)
	}
	if pid == 0 {
		// 'b' and bytes, or 'e' and an error.
		message := make([]byte, 1+48, 512)
		message[0] = 'b'
		if err := f(message[1:]); err != nil {
			message = append(append(message[:0], 'e'), err.Error()...)
		}
		unix.RawSyscall(unix.SYS_WRITE, uintptr(fds[1]), uintptr(unsafe.Pointer(&message[0])), uintptr(len(message)))
		unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
	}
	unix.Close(fds[1])
	return func() (string, error) {
		defer unix.Close(fds[0])
		// A child that hangs is a failure, and not the end of this test. It says where.
		if !waitReadable(fds[0], 20_000) {
			unix.Kill(pid, unix.SIGQUIT)
			waitReadable(fds[0], 1_000)
			unix.Kill(pid, unix.SIGKILL)
			return "", errors.New("the child hangs")
		}
		var b [512]byte
		n, err := unix.Read(fds[0], b[:])
		unix.Wait4(pid, nil, 0, nil)
		switch {
		case err != nil || n == 0:
			return "", fmt.Errorf("the child said nothing (%v)", err)
		case b[0] == 'e':
			return "", errors.New(string(b[1:n]))
		}
		return string(b[1:n]), nil
	}
}

func waitReadable(fd, milliseconds int) bool {
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, milliseconds)
		if err != unix.EINTR {
			return n == 1
		}
	}
}

// blindHost is a machine without any detector but one word of memory that all
// forked children share: a fork is then the copy of a whole system.
func blindHost(t testing.TB) (h *host, bump func()) {
	t.Helper()
	page, err := unix.Mmap(-1, 0, unix.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	words := unsafe.Slice((*uint64)(unsafe.Pointer(&page[0])), 1)
	still := neverPaused()
	still.read = func() uint64 { return 1 }
	still.readFenced = still.read
	still.clock = func() time.Time { return packageInit.clock }
	return &host{
		clones: &cloneWatch{
			forkPage: func() (*uint64, string) { return nil, "left out" },
			identity: func() int { return 1 },
			signals:  wordsSignal(words, []int{0}, nil),
		},
		pause:  still,
		system: readerFunc(func(b []byte) (int, error) { clear(b); return len(b), nil }), // the same in all
	}, func() { atomic.AddUint64(&words[0], 1) }
}

// A seedForkCase runs in a process of its own, since one with other threads that
// allocate may leave a child without an allocator. It returns all outputs that
// must differ.
var seedForkCases = map[string]func(t *testing.T, path string) []string{
	// One thing after the other, and nothing but the seed to tell parent and child apart.
	"parent and child reading the seed": func(t *testing.T, path string) (all []string) {
		s := openSeed(t, path)
		s.stamp = frozen
		for range 10 {
			all = append(all, children(t, 2, func(int) func([]byte) error { return readAll(s) })...)
			all = append(all, string(mustDraw(t, s, 48, "")))
		}
		return all
	},
	"parent and child reseeding from one file": func(t *testing.T, path string) (all []string) {
		h, _ := blindHost(t) // so that no detector does it for them
		g := seedGenerator(t, path, frozen, h)
		reseed := func([]byte) error { return g.Reseed(nil) }
		all = append(all, children(t, 1, func(int) func([]byte) error { return both(reseed, readAll(g)) })...)
		if err := g.Reseed(nil); err != nil {
			t.Fatal(err)
		}
		return append(all, string(readN(t, g, 48)))
	},
	"noticed forks reseed by themselves": func(t *testing.T, path string) []string {
		g := seedGenerator(t, path, frozen, newHost())
		all := []string{string(readN(t, g, 48))}
		all = append(all, children(t, 5, func(int) func([]byte) error { return readAll(g) })...)
		return append(all, string(readN(t, g, 48)))
	},
	"50 children in close sequence": func(t *testing.T, path string) []string {
		g := seedGenerator(t, path, frozen, newHost())
		return append(children(t, 50, func(int) func([]byte) error { return readAll(g) }), string(readN(t, g, 48)))
	},
	"50 children in close sequence with PID alone": func(t *testing.T, path string) []string {
		h := newHost()
		h.clones.forkPage = func() (*uint64, string) { return nil, "left out" }
		g := seedGenerator(t, path, frozen, h)
		return append(children(t, 50, func(int) func([]byte) error { return readAll(g) }), string(readN(t, g, 48)))
	},
	"systems copied with a personalization each": func(t *testing.T, path string) []string {
		return serialNumbers(t, path, "serial number %d", false) // fewer than 16 bytes will do
	},
	"systems copied, noticed, and told who they are": func(t *testing.T, path string) []string {
		return serialNumbers(t, path, "serial number %05d", true)
	},
	"systems copied one by one after a reseed each": func(t *testing.T, path string) (all []string) {
		h, _ := blindHost(t)
		g := seedGenerator(t, path, frozen, h)
		for i := range 10 {
			if err := g.Reseed(nil); err != nil {
				t.Fatal(err)
			}
			all = append(all, children(t, 1, func(int) func([]byte) error { return both(moveSeed(t, g, path, i), readAll(g)) })...)
		}
		if err := g.Reseed(nil); err != nil {
			t.Fatal(err)
		}
		return append(all, string(readN(t, g, 48)))
	},
}

// serialNumbers reads in ten copies of a system, each of which is told its number.
func serialNumbers(t *testing.T, path, format string, noticed bool) []string {
	t.Helper()
	h, bump := blindHost(t)
	g := seedGenerator(t, path, frozen, h)
	if noticed {
		bump()
	}
	return children(t, 10, func(i int) func([]byte) error {
		reseed := func([]byte) error { return g.Reseed(fmt.Appendf(nil, format, i)) }
		return both(moveSeed(t, g, path, i), reseed, readAll(g))
	})
}

// What the above would come to without the reseed, personalization or notice: it
// shows that the copies are copies.
func TestSeedSystemsCopiedUnnoticedRepeat(t *testing.T) {
	inSeedProcess(t, func(t *testing.T, path string) {
		h, _ := blindHost(t)
		g := seedGenerator(t, path, frozen, h)
		all := children(t, 5, func(i int) func([]byte) error { return both(moveSeed(t, g, path, i), readAll(g)) })
		for _, out := range all {
			if out != all[0] {
				t.Error("copies of one state and one file differ, so the other tests prove nothing")
			}
		}
	})
}

func TestSeedSystemsCopiedAndNoticedSayErrCloned(t *testing.T) {
	inSeedProcess(t, func(t *testing.T, path string) {
		h, bump := blindHost(t)
		g := seedGenerator(t, path, frozen, h)
		readN(t, g, 48)
		read := func(i int, before ...func([]byte) error) error {
			_, err := forkSeed(t, both(append(before, moveSeed(t, g, path, i), readAll(g))...))()
			return err
		}
		bump()
		for i, c := range []struct {
			name   string
			before func([]byte) error
		}{
			{"no personalization", func([]byte) error { return nil }},
			{"Reseed(nil)", func([]byte) error { g.Reseed(nil); return nil }},
			{"15 bytes", func([]byte) error { g.Reseed(make([]byte, 15)); return nil }},
			{"Deplete", func([]byte) error { g.Deplete(); return nil }},
		} {
			if err := read(i, c.before); err == nil || err.Error() != ErrCloned.Error() {
				t.Errorf("%s: %v", c.name, err)
			}
		}
	})
}

func TestSeedForks(t *testing.T) {
	for name, f := range seedForkCases {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			inSeedProcess(t, func(t *testing.T, path string) {
				all := f(t, path)
				seen := map[string]int{}
				for i, out := range all {
					for j := 0; j+8 <= len(out); j += 8 {
						if first, ok := seen[out[j:j+8]]; ok {
							t.Fatalf("outputs %d and %d share 8 bytes", first, i)
						}
						seen[out[j:j+8]] = i
					}
				}
				t.Logf("%d outputs", len(all))
			})
		})
	}
}

// Threads draw while one forks; the child finds their locks as they were and
// must draw all the same.
func TestSeedForkInTheMiddleOfADraw(t *testing.T) {
	inSeedProcess(t, func(t *testing.T, path string) {
		s := openSeed(t, path)
		held := make(chan bool)
		goOn := make(chan bool)
		holder := *s
		holder.step = func(step string) {
			if step == "derived" {
				held <- true
				<-goOn
			}
		}
		for round := range 5 {
			go holder.Read(make([]byte, 48))
			<-held
			child := *s
			child.wait = 0 // the lock of the parent is the file's, and it holds that
			_, err := forkSeed(t, readAll(&child))()
			wantErr(t, "while the parent holds the lock", err, ".lock: held by process "+strconv.Itoa(os.Getpid()))
			child.wait = nvSeedWait
			result := forkSeed(t, readAll(&child))
			goOn <- true
			if _, err := result(); err != nil {
				t.Errorf("round %d, when the parent has finished: %v", round, err)
			}
		}
	})
}

func inSeedProcess(t *testing.T, f func(t *testing.T, path string)) {
	t.Helper()
	skipEmulated(t, "a child forked past the runtime hangs in the emulator now and then")
	_, path := newSeed(t)
	if os.Getenv("CLONERAND_TEST_SEED_FORK") == "" {
		rerun(t, "CLONERAND_TEST_SEED_FORK=1")
		return
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	f(t, path)
}

func seedGenerator(t *testing.T, path string, stamp func() []byte, h *host) *Generator {
	t.Helper()
	s := openSeed(t, path)
	s.stamp = stamp
	g, err := newGenerator(&Config{Entropy: s}, h)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// children forks n times without waiting in between and returns what the children
// have read.
func children(t *testing.T, n int, f func(i int) func([]byte) error) (all []string) {
	t.Helper()
	var results []func() (string, error)
	for i := range n {
		results = append(results, forkSeed(t, f(i)))
	}
	for i, result := range results {
		out, err := result()
		if err != nil {
			t.Fatalf("child %d: %v", i, err)
		}
		all = append(all, out)
	}
	return all
}

// moveSeed copies the seed file and returns what gives the copy to the generator
// of a child.
func moveSeed(t *testing.T, g *Generator, path string, i int) func([]byte) error {
	t.Helper()
	own := filepath.Join(filepath.Dir(path), "system"+strconv.Itoa(i))
	if err := os.WriteFile(own, mustReadFile(t, path), 0o600); err != nil {
		t.Fatal(err)
	}
	return func([]byte) error { g.conf().nv.path = own; return nil }
}

func both(steps ...func([]byte) error) func([]byte) error {
	return func(out []byte) error {
		for _, f := range steps {
			if err := f(out); err != nil {
				return err
			}
		}
		return nil
	}
}

func readAll(r io.Reader) func([]byte) error {
	return func(out []byte) error { _, err := io.ReadFull(r, out); return err }
}
