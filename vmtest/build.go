package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
)

const (
	module      = "github.com/clonerand/rand"
	commandPath = module + "/cmd/clonerand"
)

// goProgram is a static program of this module.
type goProgram struct {
	arch, pkg string
	test      bool // the test binary
	patched   bool // its standard library draws from package rand
}

// builds makes each program once.
type builds struct {
	dir  string
	mu   sync.Mutex
	made map[goProgram]func() (string, error)
}

// get returns the file of a program.
func (b *builds) get(ctx context.Context, p goProgram) (string, error) {
	b.mu.Lock()
	once, ok := b.made[p]
	if !ok {
		file := filepath.Join(b.dir, fmt.Sprintf("program.%d", len(b.made)))
		once = sync.OnceValues(func() (string, error) { return file, b.build(ctx, p, file) })
		b.made[p] = once
	}
	b.mu.Unlock()
	return once()
}

func (b *builds) build(ctx context.Context, p goProgram, file string) error {
	args := []string{"go", "build", "-o", file, p.pkg}
	switch {
	case p.test:
		args = []string{"go", "test", "-c", "-o", file, p.pkg}
	case p.patched:
		ours, err := b.get(ctx, goProgram{arch: runtime.GOARCH, pkg: commandPath})
		if err != nil {
			return err
		}
		args = append([]string{ours}, args...)
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+p.arch)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}
