package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSeedCommand(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "seed")
	short := filepath.Join(dir, "short")
	open := filepath.Join(dir, "open")
	for name, mode := range map[string]os.FileMode{short: 0o600, open: 0o644} {
		b := []byte("0123456789")
		if name == open {
			b = bytes.Repeat(b, 7)
		}
		if err := os.WriteFile(name, b, mode); err != nil {
			t.Fatal(err)
		}
	}
	read := func() string { b, _ := os.ReadFile(file); return string(b) }
	for _, c := range []struct {
		args           []string
		status         int
		stdout, stderr string // what each has in it
		changes        bool   // the seed
	}{
		{args: []string{"check", file}, status: 1, stderr: "create it with clonerand seed create"},
		{args: []string{"advance", file}, status: 1, stderr: "create it with clonerand seed create"},
		{args: []string{"create", file}, stdout: file + ": created", changes: true},
		{args: []string{"create", file}, status: 1, stderr: "must not be set back"},
		{args: []string{"check", file}, stdout: file + ": usable"},
		{args: []string{"advance", file}, stdout: file + ": advanced", changes: true},
		{args: []string{"advance", file}, stdout: file + ": advanced", changes: true},
		{args: []string{"check", short}, status: 1, stderr: "10 bytes, and a seed has at least 64"},
		{args: []string{"check", open}, status: 1, stderr: "run chmod 600 " + open},
		{args: []string{"check", dir}, status: 1, stderr: "is a folder"},
		{args: []string{"check", ""}, status: 2, stderr: "usage: "},
	} {
		before := read()
		var stdout, stderr bytes.Buffer
		status := run(append([]string{"seed"}, c.args...), &stdout, &stderr)
		if status != c.status || !strings.Contains(stdout.String(), c.stdout) || !strings.Contains(stderr.String(), c.stderr) ||
			(c.stdout == "") != (stdout.Len() == 0) || (c.stderr == "") != (stderr.Len() == 0) {
			t.Errorf("seed %q: status %d, stdout %q, stderr %q; want %d, %q, %q", c.args, status, &stdout, &stderr, c.status, c.stdout, c.stderr)
		}
		if changed := read() != before; changed != c.changes {
			t.Errorf("seed %q: the seed changed: %v", c.args, changed)
		}
	}
}
