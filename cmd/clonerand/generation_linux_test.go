package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
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
		{"short", func(path string) error { return os.WriteFile(path, bytes.Repeat([]byte{'x'}, 63), 0o644) }, "has 63 bytes"},
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

// A mistyped name may be that of a file that somebody needs. What is longer than a generation file must hold zeros there.
func TestBumpOverwritesNoOtherFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "passwd")
	for _, content := range [][]byte{
		bytes.Repeat([]byte("root:x:0:0:root:/root:/bin/bash\n"), 3),
		append(make([]byte, 4095), 'x'),
	} {
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{"bump", path}, {"init", path}, {"status", path}} {
			if _, got := signalRun(t, 1, args...); !strings.Contains(got, "is no generation file") {
				t.Errorf("signal %s: %s", args[0], got)
			}
		}
		if after, _ := readFile(t, path); !bytes.Equal(after, content) {
			t.Errorf("it holds %q now", after)
		}
	}
	if err := os.WriteFile(path, make([]byte, 4096), 0o644); err != nil {
		t.Fatal(err)
	}
	signalRun(t, 0, "init", path)
	signalRun(t, 0, "bump", path)
}

// What no process will map is refused before it is made.
func TestAPathThatProcessesWouldNotUseIsRefused(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, command := range []string{"init", "bump"} {
		for _, c := range []struct {
			environment string
			args        []string
			why         string
		}{
			{"", []string{"generation"}, `"generation" is no absolute path`},
			{"", []string{"./run/generation"}, `"./run/generation" is no absolute path`},
			{"", []string{"off"}, "off leaves the generation file out"},
			{"", []string{""}, "the name of the FILE is empty"},
			{"off", nil, "off leaves the generation file out"},
			{"generation", nil, `"generation" is no absolute path`},
		} {
			t.Setenv("CLONERAND_GENERATION", c.environment)
			if _, got := signalRun(t, 2, append([]string{command}, c.args...)...); !strings.Contains(got, c.why) {
				t.Errorf("signal %s %q with %q: %s, want %q", command, c.args, c.environment, got, c.why)
			}
		}
	}
	if entries, _ := os.ReadDir("."); len(entries) > 0 {
		t.Errorf("made: %v", entries)
	}
}

// Nothing lost to a wrong name, and nothing left that processes would not use.
func TestInitCompletesAnUnfinishedFile(t *testing.T) {
	for _, c := range []struct {
		name    string
		content []byte
		mode    os.FileMode
		why     string // it is refused
	}{
		{"empty", nil, 0o644, ""},
		{"one zero", make([]byte, 1), 0o600, ""},
		{"63 zeros", make([]byte, 63), 0o644, ""},
		{"another file", []byte("hostname\n"), 0o644, "has 9 bytes that are no generation"},
		{"zeros and a byte", append(make([]byte, 40), 1), 0o644, "has 41 bytes that are no generation"},
		{"empty, and writable by others", nil, 0o666, "is writable by others"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "generation")
			if err := errors.Join(os.WriteFile(path, c.content, c.mode), os.Chmod(path, c.mode)); err != nil {
				t.Fatal(err)
			}
			_, inode := readFile(t, path)
			if c.why != "" {
				if _, got := signalRun(t, 1, "init", path); !strings.Contains(got, c.why) {
					t.Errorf("init: %s, want %q", got, c.why)
				}
				if content, _ := readFile(t, path); !bytes.Equal(content, c.content) {
					t.Errorf("it holds %q now", content)
				}
				return
			}
			var made atomic.Int32
			atOnce(8, func(int) {
				created, err := initGeneration(path)
				if err != nil {
					t.Error(err)
				}
				if created {
					made.Add(1)
				}
			})
			content, inode2 := readFile(t, path)
			if len(content) != generationSize || bytes.Equal(content[:8], make([]byte, 8)) || inode != inode2 || made.Load() == 0 {
				t.Errorf("made by %d: %x, inode %d, was %d", made.Load(), content, inode2, inode)
			}
			signalRun(t, 0, "bump", "-id", "01", path)
			checkGeneration(t, path, binary.LittleEndian.Uint64(content)+1, "\x01")
		})
	}
}

func TestInitOnAFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can mount a small file system")
	}
	for _, c := range []struct {
		name, options string
		before        func(path string) error // with the disk still empty
		fail          bool                    // while it is full
	}{
		{"nothing there", "size=16k", func(string) error { return nil }, true},
		{"no inodes left", "size=64k,nr_inodes=2", func(string) error { return nil }, true},
		{"an empty file", "size=16k", func(path string) error { return os.WriteFile(path, nil, 0o644) }, true},
		{"a hole", "size=16k", func(path string) error {
			return errors.Join(os.WriteFile(path, nil, 0o644), os.Truncate(path, generationSize))
		}, true},
		{"a whole file", "size=16k", func(path string) error { return os.WriteFile(path, bytes.Repeat([]byte{1}, generationSize), 0o644) }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := unix.Mount("tmpfs", dir, "tmpfs", 0, c.options); err != nil {
				t.Skip("mount a tmpfs:", err)
			}
			t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
			path, filler := filepath.Join(dir, "generation"), filepath.Join(dir, "filler")
			if err := c.before(path); err != nil {
				t.Fatal(err)
			}
			before, beforeErr := os.ReadFile(path)
			os.WriteFile(filler, make([]byte, 1<<20), 0o600) // as much as there is room for
			status := 0
			if c.fail {
				status = 1
			}
			_, got := signalRun(t, status, "init", path)
			if c.fail && !strings.Contains(got, "no space left on device; free some space and run it again") {
				t.Errorf("init: %s", got)
			}
			after, err := os.ReadFile(path)
			if !bytes.Equal(before, after) || errors.Is(err, fs.ErrNotExist) != errors.Is(beforeErr, fs.ErrNotExist) {
				t.Errorf("the file holds %x (%v), held %x (%v)", after, err, before, beforeErr)
			}
			if names, _ := filepath.Glob(filepath.Join(dir, ".generation*")); len(names) > 0 {
				t.Errorf("leftovers: %v", names)
			}
			if err := os.Remove(filler); err != nil {
				t.Fatal(err)
			}
			signalRun(t, 0, "init", path)
			if content, _ := readFile(t, path); len(content) != generationSize {
				t.Errorf("it holds %x", content)
			}
		})
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
