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

// initramfs builds the guest's only file system: its first program, the command, and the modules.
func (m machine) initramfs(ctx context.Context, dir string) (string, error) {
	root := filepath.Join(dir, "root")
	for _, d := range []string{"dev", "modules"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			return "", err
		}
	}
	first := goProgram{arch: m.arch, pkg: module, test: true}
	if m.guest != "" {
		first = goProgram{arch: m.arch, pkg: module + "/vmtest/guest", patched: m.guest == "patched"}
	}
	programs := map[string]goProgram{"init": first}
	if m.command {
		programs["clonerand"] = goProgram{arch: m.arch, pkg: commandPath}
	}
	names := []string{".", "dev", "modules"}
	for name, p := range programs {
		file, err := m.built.get(ctx, p)
		if err != nil {
			return "", err
		}
		if err := os.Symlink(file, filepath.Join(root, name)); err != nil {
			return "", err
		}
		names = append(names, name)
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
	cpio := exec.CommandContext(ctx, "cpio", "--quiet", "-L", "-o", "-H", "newc")
	cpio.Dir, cpio.Stdin, cpio.Stdout = root, strings.NewReader(strings.Join(names, "\n")), out
	var stderr bytes.Buffer
	cpio.Stderr = &stderr
	if err := cpio.Run(); err != nil {
		return "", fmt.Errorf("cpio: %w: %s", err, &stderr)
	}
	return file, out.Close()
}
