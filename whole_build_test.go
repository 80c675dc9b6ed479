package rand_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/clonerand/rand/internal/goroot"
)

// A goTool is a go command, of a patched tree or as it is, and what its environment has in addition.
type goTool struct {
	path string
	env  []string
}

func plainGo(t *testing.T) goTool {
	t.Helper()
	if os.Getenv("CLONERAND_TEST_EMULATOR") != "" {
		t.Skip("user-mode emulation: the kernel starts no program of another CPU")
	}
	path, err := exec.LookPath("go")
	if err != nil {
		cannot(t, "no go command: %v", err)
	}
	return goTool{path: path}
}

// patchedGo is that of the tree which clonerand go would use.
func patchedGo(t *testing.T) goTool {
	t.Helper()
	plain := plainGo(t)
	tree, err := patchedTree()
	if err != nil {
		t.Fatal(err)
	}
	return goTool{filepath.Join(tree, "bin", filepath.Base(plain.path)), []string{"GOROOT=" + tree, "GOTOOLCHAIN=local"}}
}

var patchedTree = sync.OnceValues(func() (tree string, err error) {
	out, err := exec.Command("go", "env", "-json", "GOROOT", "GOVERSION", "GOCACHE").Output()
	if err != nil {
		return "", err
	}
	var env struct{ GOROOT, GOVERSION, GOCACHE string }
	if err := json.Unmarshal(out, &env); err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = env.GOCACHE
	}
	return goroot.Cached(env.GOROOT, env.GOVERSION, filepath.Join(cache, "clonerand"))
})

// command makes a command of the go tool, for the system under test.
func (g goTool) command(args ...string) *exec.Cmd {
	cmd := exec.Command(g.path, args...)
	cmd.Env = slices.Concat(os.Environ(), []string{"GOOS=" + runtime.GOOS, "GOARCH=" + runtime.GOARCH, "CGO_ENABLED=0"}, g.env)
	return cmd
}

// build builds a program of testdata.
func (g goTool) build(t *testing.T, pkg string, flags ...string) (program string) {
	t.Helper()
	program = filepath.Join(t.TempDir(), filepath.Base(pkg)+".exe") // a name that every system runs
	build := g.command(append(append([]string{"build", "-o", program}, flags...), pkg)...)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return program
}

// output runs a program, or skips the test where this machine cannot. One that draws from itself
// would hang.
func output(t *testing.T, env []string, program string, args ...string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	run := exec.CommandContext(ctx, program, args...)
	run.Env = append(os.Environ(), env...)
	out, err := run.Output()
	if run.Process == nil {
		cannot(t, "the system does not run a %s/%s program: %v", runtime.GOOS, runtime.GOARCH, err)
	}
	if err != nil {
		var exit *exec.ExitError
		errors.As(err, &exit)
		t.Fatalf("%s: %v (%v): %s", env, err, ctx.Err(), exit.Stderr)
	}
	return out
}

// cannot skips a test that this machine cannot run. In CI it has to run.
func cannot(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}
