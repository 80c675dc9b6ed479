package rand

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"

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

// mustFail checks that a draw fails with all the words of want, hands out
// nothing and leaves nothing behind.
func mustFail(t *testing.T, s *NVSeed, path string, want ...string) {
	t.Helper()
	before, names := mustReadFile(t, path), folder(t, filepath.Dir(path))
	out := make([]byte, 48)
	_, readErr := s.Read(out)
	for _, words := range want {
		if readErr == nil || !strings.Contains(readErr.Error(), words) {
			t.Errorf("Read: %v, want %q in it", readErr, words)
		}
	}
	if !bytes.Equal(out, make([]byte, 48)) {
		t.Error("bytes were handed out")
	}
	if !bytes.Equal(before, mustReadFile(t, path)) {
		t.Error("the seed was changed")
	}
	if after := folder(t, filepath.Dir(path)); fmt.Sprint(after) != fmt.Sprint(names) {
		t.Errorf("the folder held %v, holds %v", names, after)
	}
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
			mustFail(t, s, path, "no space left on device", "free some space in "+dir)
			if _, err := OpenNVSeed(path); err == nil || !strings.Contains(err.Error(), "free some space in "+dir) {
				t.Errorf("OpenNVSeed: %v", err)
			}
			if err := CreateNVSeed(path + "2"); err == nil || !strings.Contains(err.Error(), "free some space in "+dir) {
				t.Errorf("CreateNVSeed: %v", err)
			}
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
			want := dir + " is read-only, and a seed must be advanced at every draw: move it to a writable place"
			mustFail(t, s, path, want)
			if _, err := OpenNVSeed(path); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("OpenNVSeed: %v", err)
			}
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
	bind := func(from, to string, flags uintptr) func(t *testing.T) {
		return func(t *testing.T) {
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
	}
	attribute := func(path string, flag int) func(t *testing.T) {
		return func(t *testing.T) {
			old := setFileAttribute(t, path, flag)
			t.Cleanup(func() { setFileAttribute(t, path, old) })
		}
	}
	const immutable, appendOnly = 0x10, 0x20 // FS_IMMUTABLE_FL, FS_APPEND_FL of linux/fs.h
	const mount, mode, attributed = "the file is a mount of its own and cannot be replaced: mount its folder DIR instead",
		"DIR is read-only, and a seed must be advanced at every draw: move it to a writable place",
		"operation not permitted: an attribute of the file or of DIR forbids it (chattr -ia takes it away on Linux)"
	for _, c := range []struct {
		name string
		make func(dir, path string) func(t *testing.T)
		want string
	}{
		{"a mount of itself", func(dir, path string) func(t *testing.T) { return bind(path, path, 0) }, mount},
		{"a mount of another file", func(dir, path string) func(t *testing.T) {
			return func(t *testing.T) {
				other := filepath.Join(memoryDir(t), "seed")
				if err := CreateNVSeed(other); err != nil {
					t.Fatal(err)
				}
				bind(other, path, 0)(t)
			}
		}, mount},
		{"a read-only mount of itself", func(dir, path string) func(t *testing.T) { return bind(path, path, unix.MS_RDONLY) }, mount},
		{"a mount in a read-only folder", func(dir, path string) func(t *testing.T) {
			return func(t *testing.T) {
				bind(dir, dir, unix.MS_RDONLY)(t)
				bind(path, path, 0)(t)
			}
		}, mode},
		{"a read-only mount of the folder", func(dir, path string) func(t *testing.T) { return bind(dir, dir, unix.MS_RDONLY) }, mode},
		{"a mount of the folder", func(dir, path string) func(t *testing.T) { return bind(dir, dir, 0) }, ""},
		{"immutable", func(dir, path string) func(t *testing.T) { return attribute(path, immutable) }, attributed},
		{"append only", func(dir, path string) func(t *testing.T) { return attribute(path, appendOnly) }, attributed},
		{"in an immutable folder", func(dir, path string) func(t *testing.T) { return attribute(dir, immutable) }, attributed},
		{"in an append-only folder", func(dir, path string) func(t *testing.T) { return attribute(dir, appendOnly) }, attributed},
		{"FILE.lock is immutable", func(dir, path string) func(t *testing.T) { return attribute(path+".lock", immutable) }, attributed},
		{"FILE.next is a mount", func(dir, path string) func(t *testing.T) {
			return func(t *testing.T) {
				if err := os.WriteFile(path+".next", nil, 0o600); err != nil {
					t.Fatal(err)
				}
				bind(path+".next", path+".next", 0)(t)
			}
		}, "device or resource busy"},
		{"FILE.next is immutable", func(dir, path string) func(t *testing.T) {
			return func(t *testing.T) {
				if err := os.WriteFile(path+".next", nil, 0o600); err != nil {
					t.Fatal(err)
				}
				attribute(path+".next", immutable)(t)
			}
		}, attributed},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "seed")
			if err := CreateNVSeed(path); err != nil {
				t.Fatal(err)
			}
			s := openSeed(t, path)
			c.make(dir, path)(t)
			want := strings.ReplaceAll(c.want, "DIR", dir)
			before, names := mustReadFile(t, path), folder(t, dir)
			if _, err := OpenNVSeed(path); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("OpenNVSeed: %v, want %q in it", err, want)
			}
			if after := folder(t, dir); !bytes.Equal(before, mustReadFile(t, path)) || fmt.Sprint(after) != fmt.Sprint(names) {
				t.Errorf("OpenNVSeed changed the seed, or the folder: %v, was %v", after, names)
			}
			if want == "" {
				mustDraw(t, s, 48, "")
				return
			}
			out := make([]byte, 48)
			_, err := s.Read(out)
			if err == nil || !strings.Contains(err.Error(), want) || !bytes.Equal(out, make([]byte, 48)) || !bytes.Equal(before, mustReadFile(t, path)) {
				t.Errorf("Read: %v, want %q in it", err, want)
			}
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
	mustFail(t, s, path, "permission denied", "run as a user who can write in "+dir+", or move the seed")
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
			if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("as user %d, %s: %v, want %q in it", os.Geteuid(), name, err, want)
			}
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
