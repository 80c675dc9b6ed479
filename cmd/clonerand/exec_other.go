//go:build !unix

package main

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
)

var executableSuffix = map[bool]string{true: ".exe"}[runtime.GOOS == "windows"]

// runInstead runs another program; its exit status is in the error. An interrupt goes to both, and is
// for that program to answer.
func runInstead(path string, args, env []string) error {
	signal.Ignore(os.Interrupt)
	cmd := exec.Command(path, args[1:]...)
	cmd.Env = env
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() > 0 {
		return &exitStatus{status: exit.ExitCode()}
	}
	return err
}
