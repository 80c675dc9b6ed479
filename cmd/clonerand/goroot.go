package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"path/filepath"

	"github.com/clonerand/rand/internal/goroot"
)

const gorootUsage = `usage: clonerand goroot DIR

Makes DIR a GOROOT whose standard library is patched as with clonerand go: a whole copy of the toolchain that the go
command uses in the current folder, for Docker images, Bazel, editors and whatever else wants a Go of its own. DIR must
be empty or not be there. Use it with GOTOOLCHAIN=local in the environment, or the go command may go on to
another toolchain, which is not patched.
`

func gorootCommand(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("goroot", flag.ContinueOnError)
	if status, done := parse(flags, gorootUsage, args, 1, stdout, stderr); done {
		return status
	}
	if flags.Arg(0) == "" {
		return misused(stderr, gorootUsage, errors.New("no folder is named"))
	}
	dir, err := filepath.Abs(flags.Arg(0))
	if err != nil {
		return failed(stderr, err)
	}
	env, err := currentGo()
	if err == nil {
		err = goroot.Copy(env.GOROOT, dir)
	}
	if err != nil {
		return failed(stderr, err)
	}
	fmt.Fprintf(stdout, "%s: %s, patched\nexport GOROOT=%[1]q GOTOOLCHAIN=local PATH=%[3]q:\"$PATH\"\n", dir, env.GOVERSION, filepath.Join(dir, "bin"))
	return 0
}

// currentGo is what the go command says of itself in the current folder.
func currentGo() (*goSettings, error) {
	tool, err := findGo()
	if err != nil {
		return nil, err
	}
	return tool.settings("", nil)
}
