package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

func signalRun(t *testing.T, want int, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	if status := run(append([]string{"signal"}, args...), &out, &errs); status != want {
		t.Fatalf("signal %v: status %d, want %d: %s%s", args, status, want, &out, &errs)
	}
	return out.String(), errs.String()
}

// newGeneration makes a file; its generation starts anywhere.
func newGeneration(t *testing.T) (path string, start uint64) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "generation")
	signalRun(t, 0, "init", path)
	content, _ := readFile(t, path)
	return path, binary.LittleEndian.Uint64(content)
}

// A process restored on another machine must not find the number that it knows from its own.
func TestTwoFilesStartAtDifferentGenerations(t *testing.T) {
	_, a := newGeneration(t)
	_, b := newGeneration(t)
	if a-b+1000 < 2000 {
		t.Errorf("one starts at %d, the other at %d", a, b)
	}
}

func TestInitMakesTheFileAndItsFolder(t *testing.T) {
	defer unix.Umask(unix.Umask(0o077)) // hooks have any umask
	path := filepath.Join(t.TempDir(), "clonerand", "generation")
	signalRun(t, 0, "init", path)
	var file, dir unix.Stat_t
	if err := errors.Join(unix.Lstat(path, &file), unix.Lstat(filepath.Dir(path), &dir)); err != nil {
		t.Fatal(err)
	}
	if file.Mode != unix.S_IFREG|0o644 || int(file.Uid) != os.Geteuid() || file.Size != 64 || file.Nlink != 1 {
		t.Errorf("file: mode %o, owner %d, %d bytes, %d names", file.Mode, file.Uid, file.Size, file.Nlink)
	}
	if dir.Mode != unix.S_IFDIR|0o755 {
		t.Errorf("folder: mode %o", dir.Mode)
	}
	if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 1 {
		t.Errorf("leftovers: %v", entries)
	}
}

func TestInitLeavesAFileThatIsThere(t *testing.T) {
	path, _ := newGeneration(t)
	signalRun(t, 0, "bump", "-id", "0102", path)
	before, inode := readFile(t, path)
	out, _ := signalRun(t, 0, "init", path)
	after, inode2 := readFile(t, path)
	if !bytes.Equal(before, after) || inode != inode2 || !strings.Contains(out, "is there already") {
		t.Errorf("init changed the file:\n%x\n%x\n%s", before, after, out)
	}
}

// Twenty at once, real processes: one makes the file, the others find it, and nobody fails.
func TestInitsAtOnceMakeOneFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "clonerand", "generation")
	var made atomic.Int32
	atOnce(20, func(int) {
		out, err := exec.Command(program(t), "signal", "init", path).CombinedOutput()
		if err != nil {
			t.Errorf("%v: %s", err, out)
		}
		if strings.HasSuffix(string(out), ": made\n") {
			made.Add(1)
		}
	})
	if made.Load() != 1 {
		t.Errorf("%d processes made the file", made.Load())
	}
}

func TestAFileThatProcessesWouldNotUseIsRefused(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(path string) error
		why  string
	}{
		{"empty", func(path string) error { return os.WriteFile(path, nil, 0o644) }, "has 0 bytes"},
		{"short", func(path string) error { return os.WriteFile(path, make([]byte, 63), 0o644) }, "has 63 bytes"},
		{"writable by others", func(path string) error {
			return errors.Join(os.WriteFile(path, make([]byte, 64), 0o644), os.Chmod(path, 0o666))
		}, "is writable by others (mode 0666)"},
		{"folder", func(path string) error { return os.Mkdir(path, 0o755) }, "is a directory"},
		{"FIFO", func(path string) error { return unix.Mkfifo(path, 0o644) }, "is not a regular file"},
		{"symbolic link", func(path string) error {
			return errors.Join(os.WriteFile(path+".real", make([]byte, 64), 0o644), os.Symlink(path+".real", path))
		}, "is a symbolic link"},
		{"symbolic link to nowhere", func(path string) error { return os.Symlink("nowhere", path) }, "is a symbolic link"},
		{"another user's", func(path string) error {
			if os.Geteuid() != 0 {
				t.Skip("only root can give a file to another user")
			}
			return errors.Join(os.WriteFile(path, make([]byte, 64), 0o644), os.Chown(path, 12345, -1))
		}, "belongs to user 12345"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "generation")
			if err := c.make(path); err != nil {
				t.Fatal(err)
			}
			for _, args := range [][]string{{"bump", path}, {"init", path}, {"status", path}} {
				why := c.why
				if c.name == "folder" && args[0] != "bump" { // opened for reading only
					why = "is not a regular file"
				}
				if _, got := signalRun(t, 1, args...); !strings.Contains(got, why) {
					t.Errorf("signal %s: %s, want %q", args[0], got, why)
				}
			}
			// And the package does not use it, and the report says why.
			why, _, _ := strings.Cut(strings.Replace(c.why, "is a directory", "is not a regular file", 1), ";")
			cmd := exec.Command(program(t))
			cmd.Env = append(os.Environ(), "CLONERAND_GENERATION="+path)
			out, err := cmd.Output()
			if want := "generation file     no   " + path + ": " + why; err != nil || !strings.Contains(string(out), want) {
				t.Errorf("%v, the report is\n%swant %q in it", err, out, want)
			}
		})
	}
	missing := filepath.Join(t.TempDir(), "generation")
	if _, got := signalRun(t, 1, "bump", missing); !strings.Contains(got, "make it with: clonerand signal init") {
		t.Errorf("bump of a missing file: %s", got)
	}
}

func atOnce(n int, f func(i int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { f(i) })
	}
	all.Wait()
}

func littleEndian(word uint64) uint64 {
	return binary.LittleEndian.Uint64(binary.NativeEndian.AppendUint64(nil, word))
}

func readFile(t *testing.T, path string) (content []byte, inode uint64) {
	t.Helper()
	var st unix.Stat_t
	content, err := os.ReadFile(path)
	if err := errors.Join(err, unix.Stat(path, &st)); err != nil {
		t.Fatal(err)
	}
	return content, st.Ino
}

// checkGeneration wants that counter, and that identity with zeros after it.
func checkGeneration(t *testing.T, path string, generation uint64, id string) {
	t.Helper()
	want := binary.LittleEndian.AppendUint64(nil, generation)
	want = append(want, id+strings.Repeat("\x00", identitySize-len(id))...)
	if got, _ := readFile(t, path); !bytes.Equal(got, want) {
		t.Errorf("the file holds\n%x, want\n%x", got, want)
	}
}
