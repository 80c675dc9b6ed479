package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// initramfs builds the guest's only file system: the test binary of package rand as its first
// program, the command, and the modules.
func (m machine) initramfs(ctx context.Context, dir string) (string, error) {
	root := filepath.Join(dir, "root")
	for _, d := range []string{"dev", "modules"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			return "", err
		}
	}
	if err := build(ctx, m.arch, filepath.Join(root, "init"), "test", "-c"); err != nil {
		return "", err
	}
	names := []string{".", "init", "dev", "modules"}
	if m.command {
		if err := build(ctx, m.arch, filepath.Join(root, "clonerand"), "build"); err != nil {
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

// build has the go command make a static program for the guest out of this module.
func build(ctx context.Context, arch, out string, command ...string) error {
	const module = "github.com/clonerand/rand"
	pkg := module
	if command[0] == "build" {
		pkg += "/cmd/clonerand"
	}
	cmd := exec.CommandContext(ctx, "go", append(command, "-o", out, pkg)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
	if b, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go %s: %w: %s", strings.Join(command, " "), err, b)
	}
	return nil
}
