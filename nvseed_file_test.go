//go:build unix

package rand

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// What may lie where a seed should be: it is refused at once, by OpenNVSeed and
// by a Read that finds it later, with an error that says what to do, and left alone.
func TestNVSeedRefuses(t *testing.T) {
	write := func(n int, mode fs.FileMode) func(t *testing.T, path string) {
		return func(t *testing.T, path string) {
			b := make([]byte, n)
			fillRandom(t, b)
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		name string
		put  func(t *testing.T, path string)
		want string // in the error, PATH being the path
		is   error
	}{
		{name: "nothing", put: func(*testing.T, string) {}, want: "create it with clonerand seed create", is: fs.ErrNotExist},
		{name: "empty file", put: write(0, 0o600), want: "0 bytes, and a seed has at least 64: remove it, and put a seed there"},
		{name: "63 bytes", put: write(63, 0o600), want: "63 bytes, and a seed has at least 64: remove it, and put a seed there"},
		{name: "64 bytes", put: write(64, 0o600)},
		{name: "1024 bytes", put: write(1024, 0o600)},
		{name: "1025 bytes", put: write(1025, 0o600), want: "1025 bytes, and a seed has at most 1024: this is no seed file"},
		{name: "1 GB", put: func(t *testing.T, path string) {
			write(64, 0o600)(t, path)
			if err := os.Truncate(path, 1<<30); err != nil {
				t.Fatal(err)
			}
		}, want: "a seed has at most 1024"},
		{name: "mode 0400", put: write(64, 0o400)},
		{name: "mode 0640", put: write(64, 0o640), want: "accessible to group or others (mode 0640): run chmod 600 PATH"},
		{name: "mode 0604", put: write(64, 0o604), want: "accessible to group or others (mode 0604): run chmod 600 PATH"},
		{name: "mode 0602", put: write(64, 0o602), want: "accessible to group or others (mode 0602): run chmod 600 PATH"},
		{name: "zeros", put: func(t *testing.T, path string) {
			if err := os.WriteFile(path, make([]byte, 64), 0o600); err != nil {
				t.Fatal(err)
			}
		}, want: "every byte is 0x00, which is no entropy: remove it, and put a seed there"},
		{name: "erased flash", put: func(t *testing.T, path string) {
			if err := os.WriteFile(path, bytes.Repeat([]byte{0xff}, 1024), 0o600); err != nil {
				t.Fatal(err)
			}
		}, want: "every byte is 0xff, which is no entropy: remove it, and put a seed there"},
		{name: "folder", put: func(t *testing.T, path string) {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}, want: "is a folder: name the seed file in it"},
		{name: "FIFO", put: func(t *testing.T, path string) {
			if err := unix.Mkfifo(path, 0o600); err != nil {
				t.Skip("mkfifo:", err)
			}
		}, want: "is no regular file (p---------): name a seed file"},
		{name: "symbolic link to a FIFO", put: func(t *testing.T, path string) {
			if err := unix.Mkfifo(path+".fifo", 0o600); err != nil {
				t.Skip("mkfifo:", err)
			}
			if err := os.Symlink(path+".fifo", path); err != nil {
				t.Fatal(err)
			}
		}, want: "is no regular file (p---------): name a seed file"},
		{name: "device", put: func(t *testing.T, path string) {
			if err := os.Symlink("/dev/zero", path); err != nil {
				t.Fatal(err)
			}
		}, want: "is no regular file (Dc---------): name a seed file"},
		{name: "symbolic link to nowhere", put: func(t *testing.T, path string) {
			if err := os.Symlink("none", path); err != nil {
				t.Fatal(err)
			}
		}, want: "the symbolic link leads nowhere: point it to a seed file", is: fs.ErrNotExist},
		{name: "symbolic link to itself", put: func(t *testing.T, path string) {
			if err := os.Symlink("seed", path); err != nil {
				t.Fatal(err)
			}
		}, want: "the symbolic link leads nowhere: point it to a seed file"},
		{name: "hard link", put: func(t *testing.T, path string) {
			write(64, 0o600)(t, path)
			if err := os.Link(path, path+".old"); err != nil {
				t.Skip("link:", err)
			}
		}, want: "has 2 hard links, and the others would keep the old seed: remove them"},
		{name: "lock file is a folder", put: func(t *testing.T, path string) {
			write(64, 0o600)(t, path)
			if err := os.Mkdir(path+".lock", 0o700); err != nil {
				t.Fatal(err)
			}
		}, want: "lock PATH.lock"},
		{name: "lock file is a FIFO", put: func(t *testing.T, path string) {
			write(64, 0o600)(t, path)
			if err := unix.Mkfifo(path+".lock", 0o600); err != nil {
				t.Skip("mkfifo:", err)
			}
		}, want: "lock PATH.lock: is no regular file"},
		{name: "lock file is a symbolic link", put: func(t *testing.T, path string) {
			write(64, 0o600)(t, path)
			if err := os.Symlink("elsewhere", path+".lock"); err != nil {
				t.Fatal(err)
			}
		}, want: "it must be a regular file of the owner of the seed: remove it"},
		{name: "left by a crash", put: func(t *testing.T, path string) {
			write(64, 0o600)(t, path)
			write(13, 0o600)(t, path+".next")
			write(0, 0o600)(t, path+".lock")
		}},
		{name: "FILE.next is a symbolic link", put: func(t *testing.T, path string) {
			write(64, 0o600)(t, path)
			if err := os.Symlink("seed", path+".next"); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "FILE.next is a folder that is not empty", put: func(t *testing.T, path string) {
			write(64, 0o600)(t, path)
			if err := os.MkdirAll(path+".next/x", 0o700); err != nil {
				t.Fatal(err)
			}
		}, want: "PATH.next"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, path := newSeed(t)
			for _, name := range folder(t, filepath.Dir(path)) {
				if err := os.Remove(filepath.Join(filepath.Dir(path), name)); err != nil {
					t.Fatal(err)
				}
			}
			c.put(t, path)
			before := folder(t, filepath.Dir(path))
			want := strings.ReplaceAll(c.want, "PATH", path)
			_, openErr := OpenNVSeed(path)
			_, readErr := s.Read(make([]byte, 48))
			for what, err := range map[string]error{"OpenNVSeed": openErr, "Read": readErr} {
				switch {
				case want == "" && err != nil:
					t.Errorf("%s: %v", what, err)
				case want != "" && (err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path)):
					t.Errorf("%s: %v, want %q in it", what, err, want)
				case c.is != nil && !errors.Is(err, c.is):
					t.Errorf("%s: %v is not %v", what, err, c.is)
				}
			}
			if want != "" {
				lock := func(name string) bool { return name == "seed.lock" }
				after := slices.DeleteFunc(folder(t, filepath.Dir(path)), lock)
				if diff := cmp.Diff(slices.DeleteFunc(before, lock), after); diff != "" {
					t.Errorf("the folder has changed: %s", diff)
				}
				return
			}
			info, err := os.Lstat(path)
			if err != nil || info.Mode() != 0o600 || info.Size() != nvSeedLen {
				t.Errorf("afterwards: %v, %v", info, err)
			}
		})
	}
}

// A name that was mistyped must not leave a lock: /etc/passwd.lock would stop
// whoever changes passwords.
func TestNVSeedLocksNothingThatIsNoSeed(t *testing.T) {
	path := filepath.Join(memoryDir(t), "passwd")
	if err := os.WriteFile(path, make([]byte, 500), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenNVSeed(path); err == nil {
		t.Error("taken for a seed")
	}
	if err := CreateNVSeed(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("CreateNVSeed: %v", err)
	}
	if got := folder(t, filepath.Dir(path)); len(got) != 1 {
		t.Errorf("the folder holds %v", got)
	}
}

func TestNVSeedBehindASymbolicLink(t *testing.T) {
	_, path := newSeed(t)
	etc := memoryDir(t)
	link := filepath.Join(etc, "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	before := mustReadFile(t, path)
	s := openSeed(t, link)
	mustDraw(t, s, 48, "")
	if to, err := os.Readlink(link); err != nil || to != path {
		t.Errorf("the link is %q, %v", to, err)
	}
	if bytes.Equal(before, mustReadFile(t, path)) {
		t.Error("the seed was not advanced")
	}
	if got := folder(t, etc); len(got) != 1 {
		t.Errorf("beside the link: %v", got)
	}
	// The lock is the file's, whatever its name.
	holdSeed(t, path, "locked")
	s.wait = 50 * time.Millisecond
	if _, err := s.Read(make([]byte, 48)); err == nil {
		t.Error("the link has a lock of its own")
	}
	if err := CreateNVSeed(link); !errors.Is(err, fs.ErrExist) {
		t.Errorf("CreateNVSeed over a link: %v", err)
	}
}

func TestNVSeedReplacedBetweenDraws(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(path string) error
		want string
	}{
		{"removed", os.Remove, "create it with clonerand seed create"},
		{"truncated", func(path string) error { return os.Truncate(path, 10) }, "10 bytes, and a seed has at least 64"},
		{"by a new seed", func(path string) error {
			if err := os.Remove(path); err != nil {
				return err
			}
			return CreateNVSeed(path)
		}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, path := newSeed(t)
			mustDraw(t, s, 48, "")
			if err := c.do(path); err != nil {
				t.Fatal(err)
			}
			_, err := s.Read(make([]byte, 48))
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

func TestNVSeedModeIsOursWhateverTheUmask(t *testing.T) {
	for _, umask := range []int{0, 0o77, 0o777} {
		func() {
			dir := memoryDir(t)
			path := filepath.Join(dir, "seed")
			defer unix.Umask(unix.Umask(umask))
			if err := CreateNVSeed(path); err != nil {
				t.Fatal(err)
			}
			mustDraw(t, openSeed(t, path), 48, "")
			for _, name := range []string{path, path + ".lock"} {
				if info, err := os.Stat(name); err != nil || info.Mode() != 0o600 {
					t.Errorf("umask %#o: %v, %v", umask, info, err)
				}
			}
		}()
	}
}

// Out of descriptors, whatever was about to be opened: an error, the advice for it and no other, and nothing is lost.
func TestNVSeedWithoutDescriptors(t *testing.T) {
	const env = "CLONERAND_TEST_DESCRIPTORS"
	if os.Getenv(env) == "" {
		rerun(t, env+"=1")
		return
	}
	s, path := newSeed(t)
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	limit.Cur = 64
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Skip("setrlimit:", err)
	}
	var fds []int
	for fd, err := unix.Dup(0); err == nil; fd, err = unix.Dup(0) {
		fds = append(fds, fd)
	}
	for _, lock := range []string{"with a lock file", "without a lock file"} {
		done := 0
		for free := range 8 {
			for _, fd := range fds[:free] {
				unix.Close(fd)
			}
			if lock == "without a lock file" {
				os.Remove(path + ".lock")
			}
			openErr := func() error { _, err := OpenNVSeed(path); return err }()
			_, readErr := s.Read(make([]byte, 48))
			createErr := CreateNVSeed(path + "2")
			for range free {
				if _, err := unix.Dup(0); err != nil {
					t.Fatal(err)
				}
			}
			for what, err := range map[string]error{"OpenNVSeed": openErr, "Read": readErr, "CreateNVSeed": createErr} {
				switch {
				case err == nil:
					done++
				case !errors.Is(err, unix.EMFILE) || !strings.Contains(err.Error(), "close files of this process, or raise its limit (ulimit -n)") || strings.Count(err.Error(), ": ") > 7 || strings.Contains(err.Error(), "remove"):
					t.Errorf("%s, %d free, %s: %v", lock, free, what, err)
				}
			}
			if createErr == nil {
				unix.Unlink(path + "2")
			} else if _, err := os.Lstat(path + "2"); err == nil {
				t.Errorf("%s, %d free: CreateNVSeed left a file", lock, free)
			}
		}
		if done == 0 || done == 3*8 {
			t.Errorf("%s: %d calls of 24 succeeded, so this shows nothing", lock, done)
		}
	}
	for _, fd := range fds {
		unix.Close(fd)
	}
	mustDraw(t, s, 48, "")
}

func TestNVSeedLockFileIsNotGivenAway(t *testing.T) {
	s, path := newSeed(t)
	bait := path + ".bait"
	if err := errors.Join(os.Remove(path+".lock"), os.WriteFile(bait, nil, 0o644), os.Link(bait, path+".lock")); err != nil {
		t.Skip(err)
	}
	mustDraw(t, s, 48, "")
	if info, err := os.Stat(bait); err != nil || info.Mode() != 0o644 {
		t.Errorf("a file linked to the lock's name: %v, %v", info, err)
	}
}

func TestNVSeedStuckHoldersDoNotHoldUpOtherSeeds(t *testing.T) {
	a, pathA := newSeed(t)
	b, pathB := newSeed(t)
	c, _ := newSeed(t)
	holders := map[*NVSeed]*exec.Cmd{a: holdSeed(t, pathA, "locked"), b: holdSeed(t, pathB, "synced")}
	var wg sync.WaitGroup
	for s, holder := range holders {
		holder.Process.Signal(unix.SIGSTOP)
		s.wait = 300 * time.Millisecond
		wg.Go(func() {
			start := time.Now()
			_, err := s.Read(make([]byte, 48))
			if took := time.Since(start); err == nil || !strings.Contains(err.Error(), s.path+".lock: held by process "+strconv.Itoa(holder.Process.Pid)) || took > 3*time.Second {
				t.Errorf("after %v: %v", took, err)
			}
		})
	}
	start := time.Now()
	for range 10 {
		mustDraw(t, c, 48, "")
	}
	if took := time.Since(start); took > 250*time.Millisecond {
		t.Errorf("another seed took %v meanwhile", took)
	}
	wg.Wait()
}

func TestNVSeedLockFileMayBeRemoved(t *testing.T) {
	s, path := newSeed(t)
	opened, locked := 0, false
	s.step = func(step string) {
		switch step {
		case "lock opened":
			if opened++; opened <= 3 {
				os.Remove(path + ".lock")
			}
		case "locked":
			locked = true
			// A lock on a file without a name would keep nobody out.
			if _, err := seedHelper(t, "try", path).Output(); err == nil {
				t.Error("another process draws at the same time")
			}
		}
	}
	mustDraw(t, s, 48, "")
	if opened != 4 || !locked {
		t.Errorf("tried %d times", opened)
	}
}

// mbedTLS builds a program of testdata/mbedtls.
func mbedTLS(t *testing.T, name string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), name)
	out, err := exec.Command("cc", "-Wall", "-Werror", "-o", program, "testdata/mbedtls/"+name+".c", "-lmbedcrypto").CombinedOutput()
	if err != nil {
		missing := t.Skipf
		if os.Getenv("CI") == "true" {
			missing = t.Fatalf
		}
		missing("needs a C compiler and Mbed TLS (Debian: libmbedtls-dev): %v\n%s", err, out)
	}
	return program
}

func mustRun(t *testing.T, program string, args ...string) {
	t.Helper()
	if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", filepath.Base(program), err, out)
	}
}

func TestNVSeedWrittenByMbedTLS(t *testing.T) {
	write := mbedTLS(t, "write_seed")
	path := filepath.Join(memoryDir(t), "seed")
	mustRun(t, "sh", "-c", "umask 022 && "+write+" "+path)
	// Mbed TLS leaves the mode to the umask.
	if _, err := OpenNVSeed(path); err == nil || !strings.Contains(err.Error(), "run chmod 600 "+path) {
		t.Errorf("a seed for all to read: %v", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	before := mustReadFile(t, path)
	s := openSeed(t, path)
	s.stamp = frozen
	out := mustDraw(t, s, 48, "")

	// It is the bytes of Mbed TLS that count, all of them.
	before[len(before)-1] ^= 1
	other := filepath.Join(memoryDir(t), "other")
	if err := os.WriteFile(other, before, 0o600); err != nil {
		t.Fatal(err)
	}
	s2 := openSeed(t, other)
	s2.stamp = frozen
	if bytes.Equal(out, mustDraw(t, s2, 48, "")) {
		t.Error("the last byte makes no difference")
	}
}

func TestNVSeedUpdatedByMbedTLS(t *testing.T) {
	update := mbedTLS(t, "update_seed")
	s, path := newSeed(t)
	seen := map[string]bool{}
	for range 3 {
		mustDraw(t, s, 48, "")
		seen[string(mustReadFile(t, path))] = true
		mustRun(t, update, path)
		seen[string(mustReadFile(t, path))] = true
	}
	if len(seen) != 6 {
		t.Errorf("%d seeds, want 6", len(seen))
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 || info.Size() != nvSeedLen {
		t.Errorf("%v, %v", info, err)
	}
	mustDraw(t, openSeed(t, path), 48, "")
}
