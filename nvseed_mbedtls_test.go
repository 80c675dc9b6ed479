//go:build unix

package rand

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

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
