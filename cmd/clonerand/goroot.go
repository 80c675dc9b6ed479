package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os/signal"
	"path/filepath"

	"github.com/clonerand/rand/internal/goroot"
)

var gorootCommand = &command{
	name:  "goroot",
	args:  "DIR",
	short: "make a GOROOT whose standard library draws from the package",
	long: `Makes DIR a GOROOT whose standard library is patched as with clonerand go: a whole copy of the toolchain that the go
command uses in the current folder, for Docker images, Bazel, editors and whatever else wants a Go of its own. DIR must
be empty or not be there. Use it with GOTOOLCHAIN=local in the environment, or the go command may go on to another
toolchain, which is not patched.
`,
	least: 1, most: 1,
	start: func(*flag.FlagSet) action { return makeGoroot },
}

func makeGoroot(args []string, stdout, _ io.Writer) error {
	if args[0] == "" {
		return misused("the name of the folder is empty")
	}
	dir, err := filepath.Abs(args[0])
	if err != nil {
		return err
	}
	env, err := currentGo()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), stopSignals...)
	defer stop()
	if err := goroot.Copy(ctx, env.GOROOT, dir); errors.Is(err, context.Canceled) {
		return fmt.Errorf("stopped by a signal: %s is not made", dir)
	} else if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%s: %s, patched\n\nexport GOROOT=%[1]q GOTOOLCHAIN=local PATH=%[3]q:\"$PATH\"\n", dir, env.GOVERSION, filepath.Join(dir, "bin"))
	return nil
}

// currentGo is what the go command says of itself in the current folder.
func currentGo() (*goSettings, error) {
	tool, err := findGo()
	if err != nil {
		return nil, err
	}
	return tool.settings("", nil)
}
