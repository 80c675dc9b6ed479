package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const builtRole = "CLONERAND_COMPARE_BUILT" // in the environment of the program that measures

// cPeers are the peers in C: the build tag, a header that must be there and where
// Debian has it.
var cPeers = []struct{ name, tag, header, pkg string }{
	{"OpenSSL", "openssl", "openssl/rand.h", "libssl-dev"},
	{"Mbed TLS", "mbedtls", "mbedtls/ctr_drbg.h", "libmbedtls-dev"},
}

var errSaid = errors.New("the program that measures has said what is wrong")

// runWithC builds this program with the C peers that can be built here, says which
// cannot and why, and runs it.
func runWithC() error {
	var tags []string
	cc, why := compiler()
	for _, p := range cPeers {
		reason := why
		if reason == "" && !hasHeader(cc, p.header) {
			reason = fmt.Sprintf("no %s here (Debian: apt-get install %s)", p.header, p.pkg)
		}
		if reason != "" {
			fmt.Printf("%s is left out: %s\n", p.name, reason)
			continue
		}
		tags = append(tags, p.tag)
	}
	dir, err := os.MkdirTemp("", "compare")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	exe := filepath.Join(dir, "compare.exe")
	build := exec.Command("go", "build", "-tags", strings.Join(tags, ","), "-o", exe, ".")
	build.Stdout, build.Stderr = os.Stdout, os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("go build: %w", err)
	}
	run := exec.Command(exe, os.Args[1:]...)
	run.Env = append(os.Environ(), builtRole+"=1")
	run.Stdout, run.Stderr = os.Stdout, os.Stderr
	err = run.Run()
	if _, said := errors.AsType[*exec.ExitError](err); said {
		return errSaid
	}
	return err
}

func compiler() (cc, why string) {
	out, err := exec.Command("go", "env", "CGO_ENABLED", "CC").Output()
	if err != nil {
		return "", "go env: " + err.Error()
	}
	lines := strings.Split(string(out), "\n")
	if len(lines) < 2 || lines[0] != "1" {
		return "", "cgo is off (no C compiler, or CGO_ENABLED=0)"
	}
	if _, err := exec.LookPath(lines[1]); err != nil {
		return "", "no C compiler: " + err.Error()
	}
	return lines[1], ""
}

func hasHeader(cc, header string) bool {
	cmd := exec.Command(cc, "-E", "-")
	cmd.Stdin = strings.NewReader("#include <" + header + ">\n")
	return cmd.Run() == nil
}
