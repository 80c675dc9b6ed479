package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/clonerand/rand/internal/goroot"
)

const packagePath = "github.com/clonerand/rand"

var goCommand = &command{
	name:  "go",
	args:  "COMMAND [ARGUMENTS]",
	short: "build, test and run with a standard library that draws from the package",
	long: `Runs the go command with a standard library that is patched to draw its random bytes from this package: TLS, keys,
nonces and all else in package crypto. The arguments, the output and the exit status are the go command's own. The
program to be built needs one line in its package main:

    import _ "github.com/clonerand/rand"

build, install and run refuse a program without it, whose bytes would come from the operating system as ever. The
patched tree is made at first use, from the toolchain that the go command would have used, in the folder clonerand of
the user's cache. Your own Go stays as it is.

clonerand std diff           shows the patch
clonerand std check PROGRAM  says whether a program was built with it
clonerand goroot DIR         makes a patched GOROOT for other tools
`,
	least: 1, most: -1,
	start: func(*flag.FlagSet) action { return runPatchedGo },
}

// runPatchedGo returns only where the go command could not be run in the place of this process.
func runPatchedGo(args []string, _, stderr io.Writer) error {
	tool, err := findGo()
	if err != nil {
		return err
	}
	b, err := tool.plan(args)
	if err != nil {
		return err
	}
	defer b.close()
	env, err := b.settings()
	if err != nil {
		return err
	}
	cache, err := treeFolder(env)
	if err != nil {
		return err
	}
	tree, err := goroot.Cached(env.GOROOT, env.version(), cache)
	if err != nil {
		return err
	}
	tool.use(tree)
	if err := b.check(env, tree, stderr); err != nil {
		return err
	}
	b.close() // what follows may not return
	return runInstead(tool.path, append([]string{"go"}, b.args...), tool.env)
}

// asking is a name in the environment of each go command that is run to be asked something.
const asking = "CLONERAND_ASKS_GO"

// A goTool is a go command and the environment that it runs in.
type goTool struct {
	path string
	env  []string
}

func findGo() (*goTool, error) {
	path, err := exec.LookPath("go")
	if err != nil {
		return nil, fmt.Errorf("no go command: %w", err)
	}
	if os.Getenv(asking) != "" { // or else this would have no end
		return nil, fmt.Errorf("%s runs clonerand, which needs the go command itself: put the folder of that before it in the PATH", path)
	}
	return &goTool{path, os.Environ()}, nil
}

// use makes it the go command of a patched tree. The environment outranks go.env and what
// go env -w has set, and keeps the go command from switching to another toolchain.
func (g *goTool) use(tree string) {
	g.path = filepath.Join(tree, "bin", "go"+executableSuffix)
	// None is named twice: of two a new program takes the first.
	g.env = slices.DeleteFunc(g.env, func(e string) bool {
		name, _, _ := strings.Cut(e, "=")
		return name == "GOROOT" || name == "GOTOOLCHAIN"
	})
	g.env = append(g.env, "GOROOT="+tree, "GOTOOLCHAIN=local")
}

// run runs the go command in a folder, "" being the current one.
func (g *goTool) run(dir string, env []string, args ...string) ([]byte, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(g.path, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &stdout, &stderr
	cmd.Env = slices.Concat(g.env, []string{asking + "=1"}, env)
	if err := cmd.Run(); err != nil {
		why := strings.TrimSpace(stderr.String())
		if why == "" {
			why = strings.TrimSpace(stdout.String())
		}
		if why != "" {
			why = "\n" + why
		}
		return stdout.Bytes(), fmt.Errorf("go %s: %w%s", args[0], err, why)
	}
	return stdout.Bytes(), nil
}

// goSettings are what the go command says of itself, by its own rules: the toolchain line of
// the module, go.work, the environment and go env -w.
type goSettings struct{ GOROOT, GOVERSION, GOFLAGS, GOCACHE string }

func (g *goTool) settings(dir string, env []string, chdir ...string) (*goSettings, error) {
	out, err := g.run(dir, env, slices.Concat([]string{"env"}, chdir, []string{"-json", "GOROOT", "GOVERSION", "GOFLAGS", "GOCACHE"})...)
	if err != nil {
		return nil, err
	}
	s := new(goSettings)
	if err := json.Unmarshal(out, s); err != nil {
		return nil, fmt.Errorf("go env: %w", err)
	}
	if s.GOROOT == "" {
		return nil, errors.New("go env names no GOROOT")
	}
	return s, nil
}

// version is GOVERSION as part of a file name.
func (s *goSettings) version() string {
	return strings.Map(func(r rune) rune {
		if r > 'z' || !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.+-", r) {
			return '_'
		}
		return r
	}, s.GOVERSION)
}

// treeFolder is where patched trees are kept.
func treeFolder(env *goSettings) (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil && filepath.IsAbs(env.GOCACHE) {
		dir, err = env.GOCACHE, nil
	}
	if err != nil {
		return "", fmt.Errorf("no place for a patched tree: %w", err)
	}
	return filepath.Join(dir, "clonerand"), nil
}
