package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// initramfs builds the guest's only file system: its first program, the command, and the modules.
func (m machine) initramfs(ctx context.Context, dir string) (string, error) {
	root := filepath.Join(dir, "root")
	for _, d := range []string{"dev", "modules"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			return "", err
		}
	}
	if err := m.init(ctx, filepath.Join(root, "init"), dir); err != nil {
		return "", err
	}
	names := []string{".", "init", "dev", "modules"}
	if m.command {
		if err := build(ctx, m.arch, goCommand, "build", "-o", filepath.Join(root, "clonerand"), commandPath); err != nil {
			return "", err
		}
		names = append(names, "clonerand")
	}
	for i, module := range m.modules {
		b, err := os.ReadFile(filepath.Join(cacheDir(), "kernels", m.kernel, module+".ko"))
		if err != nil {
			return "", err
		}
		name := fmt.Sprintf("modules/%02d-%s", i, module)
		if err := os.WriteFile(filepath.Join(root, name), b, 0o644); err != nil {
			return "", err
		}
		names = append(names, name)
	}

	file := filepath.Join(dir, "initramfs")
	out, err := os.Create(file)
	if err != nil {
		return "", err
	}
	defer out.Close()
	cpio := exec.CommandContext(ctx, "cpio", "--quiet", "-o", "-H", "newc")
	cpio.Dir, cpio.Stdin, cpio.Stdout = root, strings.NewReader(strings.Join(names, "\n")), out
	var stderr bytes.Buffer
	cpio.Stderr = &stderr
	if err := cpio.Run(); err != nil {
		return "", fmt.Errorf("cpio: %w: %s", err, &stderr)
	}
	return file, out.Close()
}

// init builds the first program: the test binary of package rand, or the guest that has only what users have.
func (m machine) init(ctx context.Context, out, dir string) error {
	const guest = module + "/vmtest/guest"
	switch m.guest {
	case "plain":
		return build(ctx, m.arch, goCommand, "build", "-o", out, guest)
	case "patched":
		ours := filepath.Join(dir, "clonerand")
		if err := build(ctx, runtime.GOARCH, goCommand, "build", "-o", ours, commandPath); err != nil {
			return err
		}
		return build(ctx, m.arch, []string{ours, "go"}, "build", "-o", out, guest)
	default:
		return build(ctx, m.arch, goCommand, "test", "-c", "-o", out, module)
	}
}

const (
	module      = "github.com/clonerand/rand"
	commandPath = module + "/cmd/clonerand"
)

var goCommand = []string{"go"}

// build has a go command make a static program out of this module.
func build(ctx context.Context, arch string, command []string, args ...string) error {
	args = append(command[1:len(command):len(command)], args...)
	cmd := exec.CommandContext(ctx, command[0], args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
	if b, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", command[0], strings.Join(args, " "), err, b)
	}
	return nil
}
