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
	"syscall"
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

// Who can put a seed, or something in its place, knows what is drawn. Nobody but root and the effective user may.
func TestNVSeedThatOthersCanPlant(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can give a file to another user")
	}
	const other = 12345
	for _, c := range []struct {
		name                   string
		above, folder          fs.FileMode
		aboveOwner, owner, own int // of the folder above, of the folder and of the seed
		want                   string
	}{
		{name: "as it should be", above: 0o755, folder: 0o700},
		{name: "a seed of another user", above: 0o755, folder: 0o755, own: other, want: "belongs to user 12345; it must be root's or this user's own: run as that user, for which clonerand seed has the flag -user 12345"},
		{name: "a folder of another user", above: 0o755, folder: 0o755, owner: other, want: "FOLDER belongs to user 12345"},
		{name: "a seed and a folder of another user", above: 0o755, folder: 0o700, owner: other, own: other, want: "FOLDER belongs to user 12345"},
		{name: "a folder for its group", above: 0o755, folder: 0o775, want: "FOLDER is writable by others (mode 0775): run chmod go-w FOLDER, or move the seed"},
		{name: "a folder for the rest", above: 0o755, folder: 0o757, want: "FOLDER is writable by others (mode 0757)"},
		{name: "a folder for everybody, sticky", above: 0o755, folder: 0o777 | fs.ModeSticky, want: "FOLDER is writable by others, though it may be sticky (mode 01777): move the seed to a folder in which nobody else can write"},
		{name: "a folder for its group, sticky", above: 0o755, folder: 0o770 | fs.ModeSticky, want: "FOLDER is writable by others, though it may be sticky (mode 01770)"},
		{name: "a folder above for everybody", above: 0o777, folder: 0o700, want: "ABOVE is writable by others (mode 0777): run chmod go-w ABOVE, or move the seed"},
		{name: "a folder above for its group", above: 0o770, folder: 0o700, want: "ABOVE is writable by others (mode 0770)"},
		{name: "a folder above for everybody, sticky", above: 0o777 | fs.ModeSticky, folder: 0o700},
		{name: "a folder above of another user", above: 0o755, aboveOwner: other, folder: 0o700, want: "ABOVE belongs to user 12345"},
	} {
		t.Run(c.name, func(t *testing.T) {
			above := filepath.Join(memoryDir(t), "above")
			folderPath := filepath.Join(above, "folder")
			path := filepath.Join(folderPath, "seed")
			if err := errors.Join(os.Mkdir(above, 0o755), os.Mkdir(folderPath, 0o755), CreateNVSeed(path)); err != nil {
				t.Fatal(err)
			}
			s := openSeed(t, path)
			if err := errors.Join(os.Chown(path, c.own, c.own), os.Chown(folderPath, c.owner, c.owner), os.Chmod(folderPath, c.folder),
				os.Chown(above, c.aboveOwner, c.aboveOwner), os.Chmod(above, c.above)); err != nil {
				t.Fatal(err)
			}
			before := mustReadFile(t, path)
			_, openErr := OpenNVSeed(path)
			_, readErr := s.Read(make([]byte, 48))
			want := strings.NewReplacer("FOLDER", folderPath, "ABOVE", above).Replace(c.want)
			for what, err := range map[string]error{"OpenNVSeed": openErr, "Read": readErr} {
				if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
					t.Errorf("%s: %v, want %q in it", what, err, want)
				}
			}
			if want != "" && !bytes.Equal(before, mustReadFile(t, path)) {
				t.Error("the seed was changed")
			}
			if c.own != 0 && c.owner == 0 { // its place is right
				want = ""
			}
			err := CreateNVSeed(path + "2")
			if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("CreateNVSeed: %v, want %q in it", err, want)
			}
			if _, err := os.Lstat(path + "2"); want != "" && err == nil {
				t.Error("CreateNVSeed made a seed")
			}
		})
	}
}

// asAnotherUser runs the test again as the user 12345.
func asAnotherUser(t *testing.T, env string) {
	t.Helper()
	rerun(t, env, func(cmd *exec.Cmd) {
		if !strings.Contains(cmd.Path, "qemu") {
			cmd.Path = "/proc/self/exe" // the folder of the test binary is closed to others
		}
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 12345, Gid: 12345}}
	})
}

// A service uses its own seed, or root's where it can, and nobody else's.
func TestNVSeedOfAService(t *testing.T) {
	const env = "CLONERAND_TEST_SERVICE"
	dir := os.Getenv(env)
	if dir == "" {
		if os.Getuid() != 0 {
			t.Skip("only root can run a process as another user")
		}
		if _, err := os.Stat("/proc/self/exe"); err != nil {
			t.Skip("needs /proc:", err)
		}
		skipEmulated(t, "the kernel starts no program of another CPU")
		dir := memoryDir(t)
		for name, uid := range map[string]int{"own": 12345, "root": 0, "strange": 54321} {
			folder := filepath.Join(dir, name)
			seed := filepath.Join(folder, "seed")
			if err := errors.Join(os.Mkdir(folder, 0o755), CreateNVSeed(seed), os.Remove(seed+".lock"), os.Chown(seed, uid, uid), os.Chown(folder, uid, uid)); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(os.Chmod(dir, 0o755), os.Symlink("../own/seed", filepath.Join(dir, "root", "link")),
			os.Symlink("../strange/seed", filepath.Join(dir, "root", "bad")), os.Symlink("../own/seed", filepath.Join(dir, "strange", "link"))); err != nil {
			t.Fatal(err)
		}
		asAnotherUser(t, env+"="+dir)
		if info, err := os.Stat(filepath.Join(dir, "own", "seed.lock")); err != nil || info.Sys().(*syscall.Stat_t).Uid != 12345 {
			t.Errorf("the lock of the service: %v, %v", info, err)
		}
		if got := folder(t, filepath.Join(dir, "root")); len(got) != 3 {
			t.Errorf("root's folder holds %v", got)
		}
		return
	}
	for name, want := range map[string]string{
		"own/seed":     "",
		"root/link":    "",
		"root/seed":    "permission denied: run as a user who can write in " + dir + "/root",
		"strange/seed": dir + "/strange belongs to user 54321; it must be root's or this user's own: run as user 54321, or move the seed",
		"root/bad":     dir + "/strange belongs to user 54321",
		"strange/link": dir + "/strange belongs to user 54321",
	} {
		path := filepath.Join(dir, name)
		s, err := OpenNVSeed(path)
		if err == nil {
			_, err = s.Read(make([]byte, 48))
		}
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q in it", name, err, want)
		}
	}
}

// A symbolic link that another user can lay, or lead elsewhere, chooses which file of ours 64 random bytes replace.
func TestNVSeedBehindSymbolicLinks(t *testing.T) {
	root := os.Getuid() == 0
	for _, c := range []struct {
		name string
		lay  func(dir, target string) (path string, err error)
		want string // in the error, DIR being the folder
	}{
		{"a link to a link to a link", func(dir, target string) (string, error) {
			return dir + "/1", errors.Join(os.Symlink(target, dir+"/3"), os.Symlink("3", dir+"/2"), os.Symlink(dir+"/2", dir+"/1"))
		}, ""},
		{"up and down", func(dir, target string) (string, error) {
			return dir + "/1", errors.Join(os.Mkdir(dir+"/sub", 0o700), os.Symlink("./sub/../2", dir+"/1"), os.Symlink("sub/3", dir+"/2"), os.Symlink(target, dir+"/sub/3"))
		}, ""},
		{"a link to the folder", func(dir, target string) (string, error) {
			return dir + "/folder/seed", os.Symlink(filepath.Dir(target), dir+"/folder")
		}, ""},
		{"a link above the folder, and one to the file", func(dir, target string) (string, error) {
			return dir + "/root/" + dir + "/2", errors.Join(os.Symlink("/", dir+"/root"), os.Symlink(target, dir+"/2"))
		}, ""},
		{"39 links", func(dir, target string) (string, error) { return dir + "/0", chain(dir, target, 39) }, ""},
		{"40 links", func(dir, target string) (string, error) { return dir + "/0", chain(dir, target, 40) }, ""},
		{"41 links", func(dir, target string) (string, error) { return dir + "/0", chain(dir, target, 41) }, "leads nowhere"},
		{"in a sticky folder", func(dir, target string) (string, error) {
			return dir + "/1", errors.Join(os.Chmod(dir, 0o777|fs.ModeSticky), os.Symlink(target, dir+"/1"))
		}, ""},
		{"in a folder for everybody", func(dir, target string) (string, error) {
			return dir + "/1", errors.Join(os.Chmod(dir, 0o777), os.Symlink(target, dir+"/1"))
		}, "the folder DIR is writable by others"},
		{"the second in a folder for everybody", func(dir, target string) (string, error) {
			return dir + "/1", errors.Join(os.Mkdir(dir+"/sub", 0o700), os.Chmod(dir+"/sub", 0o777), os.Symlink("sub/2", dir+"/1"), os.Symlink(target, dir+"/sub/2"))
		}, "the folder DIR/sub is writable by others"},
		{"of another user", func(dir, target string) (string, error) {
			return dir + "/1", errors.Join(os.Symlink(target, dir+"/1"), os.Lchown(dir+"/1", 12345, 12345))
		}, "the symbolic link DIR/1 belongs to user 12345; it must be root's or this user's own: name the file itself"},
		{"the second of another user", func(dir, target string) (string, error) {
			return dir + "/1", errors.Join(os.Symlink("2", dir+"/1"), os.Symlink(target, dir+"/2"), os.Lchown(dir+"/2", 12345, 12345))
		}, "the symbolic link DIR/2 belongs to user 12345"},
		{"of another user in a sticky folder", func(dir, target string) (string, error) {
			return dir + "/1", errors.Join(os.Chmod(dir, 0o777|fs.ModeSticky), os.Symlink(target, dir+"/1"), os.Lchown(dir+"/1", 12345, 12345))
		}, "the symbolic link DIR/1 belongs to user 12345"},
		{"to a folder, of another user", func(dir, target string) (string, error) {
			return dir + "/folder/seed", errors.Join(os.Symlink(filepath.Dir(target), dir+"/folder"), os.Lchown(dir+"/folder", 12345, 12345))
		}, "the symbolic link DIR/folder belongs to user 12345"},
		{"in a folder of another user", func(dir, target string) (string, error) {
			return dir + "/1", errors.Join(os.Symlink(target, dir+"/1"), os.Chown(dir, 12345, 12345))
		}, "the folder DIR belongs to user 12345"},
		{"to itself, by way of another", func(dir, target string) (string, error) {
			return dir + "/1", errors.Join(os.Symlink("2", dir+"/1"), os.Symlink("1", dir+"/2"))
		}, "leads nowhere"},
		{"to a folder", func(dir, target string) (string, error) {
			return dir + "/1", os.Symlink(filepath.Dir(target), dir+"/1")
		}, "is a folder: name the seed file in it"},
		{"to the root folder", func(dir, target string) (string, error) { return dir + "/1", os.Symlink("/", dir+"/1") }, "is a folder"},
		{"to a file as a folder", func(dir, target string) (string, error) {
			return dir + "/1", os.Symlink(target+"/seed", dir+"/1")
		}, "not a directory"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if strings.Contains(c.name, "another user") && !root {
				t.Skip("only root can give a file to another user")
			}
			_, target := newSeed(t)
			dir := memoryDir(t)
			path, err := c.lay(dir, target)
			if err != nil {
				t.Fatal(err)
			}
			before, names := mustReadFile(t, target), folder(t, dir)
			s, err := newNVSeed(path)
			if err != nil {
				t.Fatal(err)
			}
			_, openErr := OpenNVSeed(path)
			_, readErr := s.Read(make([]byte, 48))
			want := strings.ReplaceAll(c.want, "DIR", dir)
			for what, err := range map[string]error{"OpenNVSeed": openErr, "Read": readErr} {
				if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
					t.Errorf("%s: %v, want %q in it", what, err, want)
				}
			}
			if advanced := !bytes.Equal(before, mustReadFile(t, target)); advanced != (want == "") {
				t.Errorf("the seed was advanced: %v", advanced)
			}
			if diff := cmp.Diff(names, folder(t, dir)); diff != "" {
				t.Errorf("beside the links: %s", diff)
			}
		})
	}
}

// chain lays n symbolic links, the first of which is dir/0.
func chain(dir, target string, n int) (err error) {
	for i := range n {
		to := strconv.Itoa(i + 1)
		if i == n-1 {
			to = target
		}
		err = errors.Join(err, os.Symlink(to, filepath.Join(dir, strconv.Itoa(i))))
	}
	return err
}

// Between any two steps of a draw another folder takes the place of the seed's: the draw goes on with the one that it has
// opened, and touches nothing in the other.
func TestNVSeedFolderReplacedInADraw(t *testing.T) {
	for _, step := range drawSteps[:len(drawSteps)-2] {
		for _, kind := range []string{"folder", "symbolic link", "nothing"} {
			t.Run(step+"/"+kind, func(t *testing.T) {
				dir := memoryDir(t)
				place, planted, moved := filepath.Join(dir, "place"), filepath.Join(dir, "planted"), filepath.Join(dir, "moved")
				if err := errors.Join(os.Mkdir(place, 0o700), os.Mkdir(planted, 0o700), CreateNVSeed(place+"/seed")); err != nil {
					t.Fatal(err)
				}
				known := bytes.Repeat([]byte("known"), 20)
				if err := errors.Join(os.WriteFile(planted+"/seed", known, 0o600), os.WriteFile(planted+"/seed.next", known, 0o600)); err != nil {
					t.Fatal(err)
				}
				before := mustReadFile(t, place+"/seed")
				s := openSeed(t, place+"/seed")
				s.stamp = frozen
				done := false
				s.step = func(at string) {
					if at != step || done {
						return
					}
					done = true
					err := os.Rename(place, moved)
					switch kind {
					case "folder":
						err = errors.Join(err, os.Rename(planted, place))
						planted = place
					case "symbolic link":
						err = errors.Join(err, os.Symlink(planted, place))
					}
					if err != nil {
						t.Error(err)
					}
				}
				out := mustDraw(t, s, 48, "")
				if !done {
					t.Fatal("there is no such step")
				}
				// The same draw, from the same seed, in peace.
				same := filepath.Join(memoryDir(t), "seed")
				if err := os.WriteFile(same, before, 0o600); err != nil {
					t.Fatal(err)
				}
				calm := openSeed(t, same)
				calm.stamp = frozen
				if want := mustDraw(t, calm, 48, ""); !bytes.Equal(out, want) || !bytes.Equal(mustReadFile(t, moved+"/seed"), mustReadFile(t, same)) {
					t.Error("another seed was drawn from")
				}
				if got := folder(t, planted); !bytes.Equal(known, mustReadFile(t, planted+"/seed")) || strings.Join(got, " ") != "seed seed.next" {
					t.Errorf("the planted folder was changed, and holds %v", got)
				}
				if got := strings.Join(folder(t, moved), " "); got != "seed seed.lock" {
					t.Errorf("the folder holds %s", got)
				}
			})
		}
	}
}
