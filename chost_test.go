//go:build unix

package rand

import (
	"bytes"
	"context"
	"crypto/fips140"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// buildCHost builds the package into a C library and testdata/chost/host.c with it.
func buildCHost(t *testing.T, mode string) (dir string) {
	t.Helper()
	skipEmulated(t, "there is no C compiler for this CPU")
	missing := t.Skipf
	if os.Getenv("CI") == "true" && runtime.GOARCH != "386" { // a 32-bit C library is rarely there
		missing = t.Fatalf
	}
	cc, err := exec.LookPath("cc")
	if err != nil {
		missing("no C compiler: %v", err)
	}
	dir = t.TempDir()
	library := filepath.Join(dir, map[string]string{"c-archive": "libchost.a", "c-shared": "libchost.so"}[mode])
	build := exec.Command("go", "build", "-buildmode="+mode, "-o", library, "./testdata/chost")
	build.Env = append(os.Environ(), "CGO_ENABLED=1", "CC="+cc)
	if out, err := build.CombinedOutput(); err != nil {
		missing("go build -buildmode=%s: %v\n%s", mode, err, out)
	}
	args := []string{"-O2", "-o", filepath.Join(dir, "host"), "testdata/chost/host.c", library, "-lpthread", "-Wl,-rpath," + dir}
	if runtime.GOARCH == "386" {
		args = append(args, "-m32")
	}
	if out, err := exec.Command(cc, args...).CombinedOutput(); err != nil {
		missing("cc %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return dir
}

// hostOutput is what a host and its children print. Now and then Go's own runtime hangs in a
// child, see docs/fork.md. That is not what is tested here, and not the case three times in a row.
func hostOutput(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	for try := 1; ; try++ {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		host := exec.CommandContext(ctx, name, args...)
		cancelWithChildren(host)
		host.WaitDelay = time.Second
		var errors bytes.Buffer
		host.Stderr = &errors
		out, err := host.Output()
		cancel()
		if err == nil {
			return out
		}
		if try == 3 {
			t.Fatalf("%s %v: %v\n%s%s", name, args, err, out, &errors)
		}
	}
}

// differ checks that no two outputs share 8 bytes. A line is who made it, its
// Generation, and hexadecimal outputs.
func differ(t *testing.T, out string, lines int) {
	t.Helper()
	seen := map[string]string{}
	got := strings.Split(strings.TrimSpace(out), "\n")
	if len(got) != lines {
		t.Fatalf("%d lines, want %d:\n%s", len(got), lines, out)
	}
	for i, line := range got {
		fields := strings.Fields(line)
		who := fmt.Sprintf("line %d, %s", i, fields[0])
		if len(fields) < 3 {
			t.Fatalf("%s has no output", who)
		}
		for _, output := range fields[2:] {
			for part := range slices.Chunk([]byte(output), 16) {
				if first, ok := seen[string(part)]; ok {
					t.Fatalf("%s and %s share 8 bytes", first, who)
				}
				seen[string(part)] = who
			}
		}
	}
}

// PHP-FPM, nginx and the like: a C program with this package in it reads, forks, and
// parent, children and grandchildren go on to read.
func TestCHostForks(t *testing.T) {
	for _, mode := range []string{"c-archive", "c-shared"} {
		t.Run(mode, func(t *testing.T) {
			if fips140.Enabled() && mode == "c-archive" {
				t.Skip("the C linker puts no FIPS 140 checksum into a program, so Go's runtime stops it")
			}
			if testing.Short() && mode == "c-shared" {
				t.Skip("c-archive is enough for a short run")
			}
			host := filepath.Join(buildCHost(t, mode), "host")
			// A function of OnClone is a new goroutine, for which a child has no thread: it is not
			// called there, and hangs no Read.
			for children, args := range map[int][]string{10: {"outputs", "10"}, 3: {"outputs", "3", "hook"}} {
				out := hostOutput(t, host, args...)
				differ(t, string(out), 1+children*4)
				// The parent's own number stays; that of each generation of children is one more.
				want := map[string]string{"parent": "1", "child": "2", "grandchild": "3"}
				for line := range strings.Lines(string(out)) {
					if f := strings.Fields(line); f[1] != want[f[0]] {
						t.Errorf("%v: %s has Generation %s, want %s", args, f[0], f[1], want[f[0]])
					}
				}
			}
		})
	}
}

// Python's multiprocessing: children of a pool that read with the library that their
// parent has loaded, and with one that they load themselves, where all of Go works.
const pythonHost = `
import ctypes, multiprocessing, sys
def load():
    global lib
    lib = ctypes.CDLL(sys.argv[1])
    lib.chost_read.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    lib.chost_generation.restype = ctypes.c_ulonglong
def read(who):
    b = ctypes.create_string_buffer(64)
    assert lib.chost_read(b, 64) == 0
    return "%s %d %s" % (who, lib.chost_generation(), b.raw.hex())
def everything(who):
    lib.chost_gc()
    lib.chost_goroutine()
    lib.chost_alloc(64 * 1024)
    return read(who)
fork = multiprocessing.get_context("fork")
with fork.Pool(4, load) as pool:
    for line in pool.map(everything, ["loaded-by-child"] * 40, chunksize=1):
        print(line)
load()
print(read("parent"))
with fork.Pool(4) as pool:
    for line in pool.map(read, ["child"] * 40, chunksize=1):
        print(line)
print(read("parent"))
`

func TestCHostIsPythonWithMultiprocessing(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a shared library, which takes long")
	}
	if runtime.GOARCH == "386" {
		t.Skip("Python is a 64-bit program here")
	}
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no Python:", err)
	}
	library := filepath.Join(buildCHost(t, "c-shared"), "libchost.so")
	out := hostOutput(t, python, "-c", pythonHost, library)
	differ(t, string(out), 40+1+40+1)
}
