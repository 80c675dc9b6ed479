package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// A goBuild is one run of the go command: what it is to do, and for build, install
// and run of what program.
type goBuild struct {
	tool *goTool
	args []string // as the go command gets them

	flags    []goFlag
	packages []string

	// For PACKAGE@VERSION: the module that it is in, from where the list of its packages is
	// made, with a copy of its go.mod that can be written to.
	module, modfile string
}

// plan takes the arguments apart.
func (g *goTool) plan(args []string) (*goBuild, error) {
	b := &goBuild{tool: g, args: args}
	if strings.HasPrefix(args[0], "-") { // the go command takes -C there, and what follows would not be checked
		return nil, misused("clonerand go wants a command of go first, and then %s", args[0])
	}
	if !b.links() {
		b.flags = findGoFlags(args)
		return b, nil
	}
	var err error
	if b.flags, b.packages, err = splitGoFlags(args[1:]); err != nil {
		return nil, fmt.Errorf("go %s: %w", args[0], err)
	}
	if args[0] == "run" { // what follows are the arguments of the program
		sources := slices.IndexFunc(b.packages, func(p string) bool { return !strings.HasSuffix(p, ".go") })
		switch {
		case sources > 0:
			b.packages = b.packages[:sources]
		case sources == 0:
			b.packages = b.packages[:1]
		}
	}
	if args[0] != "build" && slices.ContainsFunc(b.packages, hasVersion) {
		if err := b.download(); err != nil {
			b.close()
			return nil, err
		}
	}
	return b, nil
}

// links reports whether the go command is to make a program other than a test.
func (b *goBuild) links() bool {
	return b.args[0] == "build" || b.args[0] == "install" || b.args[0] == "run"
}

func hasVersion(pattern string) bool {
	return strings.Contains(pattern, "@") && !filepath.IsAbs(pattern) && !strings.HasPrefix(pattern, ".")
}

// flag is the last value of a flag. GOFLAGS stand before those of the command line.
func (b *goBuild) flag(env *goSettings, name string) (value string) {
	for _, f := range append(splitGOFLAGS(env.GOFLAGS), b.flags...) {
		if f.name == name {
			value = f.value
		}
	}
	return value
}

// chdir is the flag -C, which has to be the first.
func (b *goBuild) chdir() []string {
	if len(b.flags) > 0 && b.flags[0].name == "C" {
		return []string{b.flags[0].String()}
	}
	return nil
}

// within is a path as the go command sees it after -C.
func (b *goBuild) within(name string) string {
	if dir := b.chdir(); dir != nil && !filepath.IsAbs(name) {
		name = filepath.Join(b.flags[0].value, name)
	}
	return name
}
