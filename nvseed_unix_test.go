//go:build unix

package rand

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// inFolder is what lies in a folder: modes, where links lead, and what files hold.
func inFolder(t testing.TB, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, name := range folder(t, dir) {
		path := filepath.Join(dir, name)
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		holds := ""
		switch {
		case info.Mode().Type() == fs.ModeSymlink:
			holds, _ = os.Readlink(path)
		case info.Mode().IsRegular() && info.Size() <= 1<<20:
			holds = fmt.Sprintf("%x", mustReadFile(t, path))
		}
		found[name] = fmt.Sprintf("%v, %d bytes: %s", info.Mode(), info.Size(), holds)
	}
	return found
}

// wantSeed checks what OpenNVSeed and a draw say. If want is "" both work, and only the draw
// changes the seed. Else both fail with want and more in the error. Then nothing is handed out,
// and the folder stays as it was. A new lock may be there, and a FILE.next that nobody can remove.
func wantSeed(t testing.TB, s *NVSeed, path, want string, more ...string) (openErr, readErr error) {
	t.Helper()
	dir, name := filepath.Split(path)
	before := inFolder(t, dir)
	_, openErr = OpenNVSeed(path)
	opened := inFolder(t, dir)
	out := make([]byte, 48)
	_, readErr = s.Read(out)
	after := inFolder(t, dir)
	for _, words := range append(more, want) {
		wantErr(t, "OpenNVSeed", openErr, words)
		wantErr(t, "Read", readErr, words)
	}
	if blank(out) != (want != "") {
		t.Errorf("handed out: %x", out)
	}
	if diff := cmp.Diff(before[name], opened[name]); diff != "" {
		t.Errorf("OpenNVSeed changed the seed: %s", diff)
	}
	for _, now := range []map[string]string{opened, after} {
		if before[name+".lock"] == "" {
			delete(now, name+".lock")
		}
		if now[name+".next"] != before[name+".next"] && os.Remove(path+".next") != nil {
			delete(now, name+".next")
		}
		if diff := cmp.Diff(before, now); diff != "" && want != "" {
			t.Errorf("the folder has changed: %s", diff)
		}
	}
	return openErr, readErr
}

// What may lie where a seed should be: it is refused at once, by OpenNVSeed and
// by a Read that finds it later, with an error that says what to do, and left alone.
func TestNVSeedRefuses(t *testing.T) {
	type put = func(path string) error
	all := func(puts ...put) put {
		return func(path string) (err error) {
			for _, p := range puts {
				err = errors.Join(err, p(path))
			}
			return err
		}
	}
	beside := func(suffix string, p put) put { return func(path string) error { return p(path + suffix) } }
	holds := func(b []byte, mode fs.FileMode) put {
		return func(path string) error { return errors.Join(os.WriteFile(path, b, 0o600), os.Chmod(path, mode)) }
	}
	file := func(n int, mode fs.FileMode) put {
		b := make([]byte, n)
		fillRandom(t, b)
		return holds(b, mode)
	}
	good := file(64, 0o600)
	link := func(to string) put { return func(path string) error { return os.Symlink(to, path) } }
	dir := func(path string) error { return os.MkdirAll(path, 0o700) }
	fifo := func(path string) error {
		if err := unix.Mkfifo(path, 0o600); err != nil {
			return fmt.Errorf("%w: %v", errors.ErrUnsupported, err)
		}
		return nil
	}
	for _, c := range []struct {
		name string
		put  put
		want string // in the error, PATH being the path
		is   error
	}{
		{name: "nothing", put: all(), want: "create it with clonerand seed create", is: fs.ErrNotExist},
		{name: "empty file", put: file(0, 0o600), want: "0 bytes, and a seed has at least 64: remove it, and put a seed there"},
		{name: "63 bytes", put: file(63, 0o600), want: "63 bytes, and a seed has at least 64: remove it, and put a seed there"},
		{name: "64 bytes", put: good},
		{name: "1024 bytes", put: file(1024, 0o600)},
		{name: "1025 bytes", put: file(1025, 0o600), want: "1025 bytes, and a seed has at most 1024: this is no seed file"},
		{name: "1 GB", put: all(good, func(path string) error { return os.Truncate(path, 1<<30) }), want: "a seed has at most 1024"},
		{name: "mode 0400", put: file(64, 0o400)},
		{name: "mode 0640", put: file(64, 0o640), want: "accessible to group or others (mode 0640): run chmod 600 PATH"},
		{name: "mode 0604", put: file(64, 0o604), want: "accessible to group or others (mode 0604): run chmod 600 PATH"},
		{name: "mode 0602", put: file(64, 0o602), want: "accessible to group or others (mode 0602): run chmod 600 PATH"},
		{name: "zeros", put: holds(make([]byte, 64), 0o600), want: "every byte is 0x00, which is no entropy: remove it, and put a seed there"},
		{name: "erased flash", put: holds(bytes.Repeat([]byte{0xff}, 1024), 0o600), want: "every byte is 0xff, which is no entropy: remove it, and put a seed there"},
		{name: "private key", put: holds(pem.EncodeToMemory(&pem.Block{Type: "OPENSSH PRIVATE KEY", Bytes: make([]byte, 200)}), 0o600),
			want: "is a PEM file, which a draw would destroy: name a seed file"},
		{name: "folder", put: dir, want: "is a folder: name the seed file in it"},
		{name: "FIFO", put: fifo, want: "is no regular file (p---------): name a seed file"},
		{name: "symbolic link to a FIFO", put: all(beside(".fifo", fifo), link("seed.fifo")), want: "is no regular file (p---------): name a seed file"},
		{name: "device", put: link("/dev/zero"), want: "is no regular file (Dc---------): name a seed file"},
		{name: "symbolic link to nowhere", put: link("none"), want: "the symbolic link leads nowhere: point it to a seed file", is: fs.ErrNotExist},
		{name: "symbolic link to itself", put: link("seed"), want: "the symbolic link leads nowhere: point it to a seed file"},
		{name: "hard link", put: all(good, func(path string) error { return os.Link(path, path+".old") }),
			want: "has 2 hard links, and the others would keep the old seed: remove them"},
		{name: "lock file is a folder", put: all(good, beside(".lock", dir)), want: "lock PATH.lock"},
		{name: "lock file is a FIFO", put: all(good, beside(".lock", fifo)), want: "lock PATH.lock: is no regular file"},
		{name: "lock file is a symbolic link", put: all(good, beside(".lock", link("elsewhere"))),
			want: "it must be a regular file of the owner of the seed: remove it"},
		{name: "left by a crash", put: all(good, beside(".next", file(13, 0o600)), beside(".lock", file(0, 0o600)))},
		{name: "FILE.next is a symbolic link", put: all(good, beside(".next", link("seed")))},
		{name: "FILE.next is a folder that is not empty", put: all(good, beside(".next/x", dir)), want: "PATH.next: directory not empty: remove what is there"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, path := newSeed(t)
			if err := errors.Join(os.Remove(path), os.Remove(path+".lock")); err != nil {
				t.Fatal(err)
			}
			if err := c.put(path); errors.Is(err, errors.ErrUnsupported) {
				t.Skip(err)
			} else if err != nil {
				t.Fatal(err)
			}
			want, more := strings.ReplaceAll(c.want, "PATH", path), path
			if want == "" {
				more = ""
			}
			openErr, readErr := wantSeed(t, s, path, want, more)
			if c.is != nil && (!errors.Is(openErr, c.is) || !errors.Is(readErr, c.is)) {
				t.Errorf("OpenNVSeed: %v; Read: %v; want %v", openErr, readErr, c.is)
			}
			if info, err := os.Lstat(path); want == "" && (err != nil || info.Mode() != 0o600 || info.Size() != nvSeedLen) {
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

// The lock is the file's, whatever its name.
func TestNVSeedBehindASymbolicLink(t *testing.T) {
	_, path := newSeed(t)
	link := filepath.Join(memoryDir(t), "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	s := openSeed(t, link)
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
			wantErr(t, "Read", err, c.want)
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
			want := strings.NewReplacer("FOLDER", folderPath, "ABOVE", above).Replace(c.want)
			wantSeed(t, s, path, want)
			if c.own != 0 && c.owner == 0 { // its place is right
				want = ""
			}
			wantErr(t, "CreateNVSeed", CreateNVSeed(path+"2"), want)
			if _, err := os.Lstat(path + "2"); want != "" && err == nil {
				t.Error("CreateNVSeed made a seed")
			}
		})
	}
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
		for name, uid := range map[string]int{"own": 12345, "closed": 12345, "unread": 12345, "root": 0, "strange": 54321} {
			folder := filepath.Join(dir, name)
			seed := filepath.Join(folder, "seed")
			if err := errors.Join(os.Mkdir(folder, 0o755), CreateNVSeed(seed), os.Remove(seed+".lock"), os.Chown(seed, uid, uid), os.Chown(folder, uid, uid)); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(os.Chmod(dir, 0o755), os.Chmod(filepath.Join(dir, "closed", "seed"), 0), os.Chmod(filepath.Join(dir, "unread"), 0o300), os.Symlink("../own/seed", filepath.Join(dir, "root", "link")),
			os.Symlink("../strange/seed", filepath.Join(dir, "root", "bad")), os.Symlink("../own/seed", filepath.Join(dir, "strange", "link"))); err != nil {
			t.Fatal(err)
		}
		rerun(t, env+"="+dir, func(cmd *exec.Cmd) {
			cmd.Path, cmd.Dir = "/proc/self/exe", "/" // the folder of the test binary is closed to others
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 12345, Gid: 12345}}
		})
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
		"closed/seed":  "permission denied: run as the owner of the seed, whose mode must be 0600",
		"unread/seed":  "unread: permission denied: run as a user who can read and write in " + dir + "/unread",
		"root/link":    "",
		"root/seed":    "permission denied: run as a user who can read and write in " + dir + "/root",
		"strange/seed": dir + "/strange belongs to user 54321; it must be root's or this user's own: run as user 54321, or move the seed",
		"root/bad":     dir + "/strange belongs to user 54321",
		"strange/link": dir + "/strange belongs to user 54321",
	} {
		path := filepath.Join(dir, name)
		s, err := OpenNVSeed(path)
		if err == nil {
			_, err = s.Read(make([]byte, 48))
		}
		wantErr(t, name, err, want)
	}
}

// A symbolic link that another user can lay, or lead elsewhere, chooses which file of ours 64 random bytes replace.
func TestNVSeedBehindSymbolicLinks(t *testing.T) {
	for _, c := range []struct {
		name, path string // the path is in DIR
		lay        string // in turn: NAME/ is a folder, NAME>TO a link, NAME:MODE a mode, NAME! another user's
		want       string // in the error; SEED is the seed's path, FOLDER that of its folder
	}{
		{"a link to a link to a link", "1", "3>SEED 2>3 1>DIR/2", ""},
		{"up and down", "1", "sub/ 1>./sub/../2 2>sub/3 sub/3>SEED", ""},
		{"a link to the folder", "folder/seed", "folder>FOLDER", ""},
		{"a link above the folder, and one to the file", "root/DIR/2", "root>/ 2>SEED", ""},
		{"39 links", "0", chain(39), ""},
		{"40 links", "0", chain(40), ""},
		{"41 links", "0", chain(41), "leads nowhere"},
		{"in a sticky folder", "1", ".:1777 1>SEED", ""},
		{"in a folder for everybody", "1", ".:777 1>SEED", "the folder DIR is writable by others"},
		{"the second in a folder for everybody", "1", "sub/ sub:777 1>sub/2 sub/2>SEED", "the folder DIR/sub is writable by others"},
		{"of another user", "1", "1>SEED 1!", "the symbolic link DIR/1 belongs to user 12345; it must be root's or this user's own: name the file itself"},
		{"the second of another user", "1", "1>2 2>SEED 2!", "the symbolic link DIR/2 belongs to user 12345"},
		{"of another user in a sticky folder", "1", ".:1777 1>SEED 1!", "the symbolic link DIR/1 belongs to user 12345"},
		{"to a folder, of another user", "folder/seed", "folder>FOLDER folder!", "the symbolic link DIR/folder belongs to user 12345"},
		{"in a folder of another user", "1", "1>SEED .!", "the folder DIR belongs to user 12345"},
		{"to itself, by way of another", "1", "1>2 2>1", "leads nowhere"},
		{"to a folder", "1", "1>FOLDER", "is a folder: name the seed file in it"},
		{"to the root folder", "1", "1>/", "is a folder"},
		{"to a file as a folder", "1", "1>SEED/seed", "not a directory"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if strings.Contains(c.name, "another user") && os.Getuid() != 0 {
				t.Skip("only root can give a file to another user")
			}
			_, target := newSeed(t)
			dir := memoryDir(t)
			names := strings.NewReplacer("DIR", dir, "SEED", target, "FOLDER", filepath.Dir(target))
			for _, step := range strings.Fields(c.lay) {
				at := strings.IndexAny(step, ">:!")
				if at < 0 {
					at = len(step) - 1
				}
				path, arg := filepath.Join(dir, step[:at]), names.Replace(step[at+1:])
				var err error
				switch step[at] {
				case '>':
					err = os.Symlink(arg, path)
				case ':':
					var mode uint64
					mode, err = strconv.ParseUint(arg, 8, 32)
					err = errors.Join(err, unix.Chmod(path, uint32(mode)))
				case '!':
					err = os.Lchown(path, 12345, 12345)
				case '/':
					err = os.Mkdir(path, 0o700)
				}
				if err != nil {
					t.Fatalf("%s: %v", step, err)
				}
			}
			path := dir + "/" + names.Replace(c.path)
			before, links := mustReadFile(t, target), inFolder(t, dir)
			s, err := newNVSeed(path)
			if err != nil {
				t.Fatal(err)
			}
			wantSeed(t, s, path, names.Replace(c.want))
			if advanced := !bytes.Equal(before, mustReadFile(t, target)); advanced != (c.want == "") {
				t.Errorf("the seed was advanced: %v", advanced)
			}
			if diff := cmp.Diff(links, inFolder(t, dir)); diff != "" {
				t.Errorf("beside the links: %s", diff)
			}
		})
	}
}

// The folder above one that a link leads to is not the folder that the link is in.
func TestNVSeedAboveASymbolicLink(t *testing.T) {
	dir := memoryDir(t)
	link := filepath.Join(dir, "link")
	if err := errors.Join(os.MkdirAll(dir+"/sub/deep", 0o700), os.Symlink("sub/deep", link)); err != nil {
		t.Fatal(err)
	}
	t.Chdir(link) // and $PWD names the link
	for _, path := range []string{link + "/../seed", "../relative"} {
		if err := CreateNVSeed(path); err != nil {
			t.Fatal(err)
		}
		before := mustReadFile(t, path)
		mustDraw(t, openSeed(t, path), 48, "")
		if bytes.Equal(before, mustReadFile(t, path)) {
			t.Errorf("%s was not advanced", path)
		}
	}
	if got := strings.Join(folder(t, dir), " "); got != "link sub" {
		t.Errorf("the folder of the link holds %s", got)
	}
}

// chain lays n links, the first of which is 0.
func chain(n int) (lay string) {
	for i := range n - 1 {
		lay += fmt.Sprintf("%d>%d ", i, i+1)
	}
	return lay + strconv.Itoa(n-1) + ">SEED"
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
