package soak

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// commandRead is the output of clonerand read, which ends when the test does.
func commandRead(t *testing.T) io.Reader {
	t.Helper()
	program := filepath.Join(t.TempDir(), "clonerand")
	if out, err := exec.Command("go", "build", "-o", program, "../cmd/clonerand").CombinedOutput(); err != nil {
		if _, lost := exec.LookPath("go"); lost != nil {
			cannot(t, "no go command to build clonerand with: %v", lost)
		}
		t.Fatalf("%v: %s", err, out)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(program, "read")
	c.Stdout, c.Stderr = w, os.Stderr
	err = c.Start()
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.Close()
		if err := c.Wait(); err != nil {
			t.Errorf("clonerand read: %v", err)
		}
	})
	return r
}

// cannot skips a test that this machine cannot run. In CI it has to run.
func cannot(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}
