package main

import (
	"fmt"
	"slices"
	"strings"
)

// rewrites reports whether the go command is to change source files.
func (b *goBuild) rewrites(env *goSettings) bool {
	switch b.args[0] {
	case "fix", "fmt", "generate":
		return true
	case "vet":
		return slices.ContainsFunc(splitGOFLAGS(env.GOFLAGS), func(f goFlag) bool { return f.name == "fix" }) ||
			slices.ContainsFunc(b.args, func(a string) bool {
				name, _, _ := strings.Cut(a, "=")
				return name == "-fix" || name == "--fix"
			})
	}
	return false
}

// checkRewrite refuses to change files of the tree: they are links to the toolchain's own.
func (b *goBuild) checkRewrite(tree string) error {
	refuse := func(what string) error {
		return fmt.Errorf("go %s would change %s, whose files are links to those of your own Go: run it without clonerand", b.args[0], what)
	}
	list := slices.Concat([]string{"list"}, b.chdir(), []string{"-e", "-f={{.Dir}}", "--"})
	files := 0
	for _, a := range b.args[1:] {
		switch {
		case strings.HasPrefix(a, "-"):
		case strings.HasSuffix(a, ".go"):
			files++
			if isBelow(b.within(a), tree) {
				return refuse(a)
			}
		default: // or the value of a flag, which -e forgives
			list = append(list, a)
		}
	}
	if files > 0 && list[len(list)-1] == "--" {
		return nil
	}
	out, err := b.tool.run("", nil, list...)
	if err != nil {
		return err
	}
	for dir := range strings.Lines(string(out)) {
		if dir = strings.TrimSpace(dir); dir != "" && isBelow(dir, tree) {
			return refuse(dir)
		}
	}
	return nil
}
