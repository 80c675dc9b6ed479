package rand

import (
	"bytes"
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

// A container that gets a single file mounted can not replace it.
func TestNVSeedThatIsAMountOfItsOwn(t *testing.T) {
	if !inMountNamespace(t) {
		return
	}
	s, dir, path := smallDisk(t, "")
	if err := unix.Mount(path, path, "", unix.MS_BIND, ""); err != nil {
		t.Skip("bind mount:", err)
	}
	defer unix.Unmount(path, 0)
	mustFail(t, s, path, "mount its folder "+dir+" instead")
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

// A power failure can not be had in a test. That nothing is handed out before
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
		t.Skip("strace can not trace here:", err)
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
