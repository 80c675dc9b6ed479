package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

//go:embed setup.sh
var setupScript string

// errCannot says that this machine cannot have QEMU, the kernels, or the acceleration that was asked for.
var errCannot = errors.New("vmtest cannot run here")

// cacheDir is where setup.sh puts the kernels.
func cacheDir() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = os.TempDir()
	}
	return filepath.Join(dir, "clonerand-vmtest")
}

// setup fetches what is missing. An error that is errCannot means that it cannot be had here.
func setup(ctx context.Context, hibernate bool) error {
	if runtime.GOOS != "linux" {
		return fmt.Errorf("%w: it needs QEMU 10 and kernels, and the script that fetches them knows Debian; this is %s", errCannot, runtime.GOOS)
	}
	args := []string{"-c", setupScript, "setup.sh", cacheDir()}
	if hibernate {
		args = append(args, "hibernate")
	}
	cmd := exec.CommandContext(ctx, "sh", args...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		out = bytes.TrimSpace(out)
		return fmt.Errorf("%w: it needs QEMU 10 and kernels: %s (%w)", errCannot, out[bytes.LastIndexByte(out, '\n')+1:], err)
	}
	return nil
}
