package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/version"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// apart is how the go command sees the module of PACKAGE@VERSION: it alone.
var apart = []string{"GOWORK=off", "GOFLAGS=", "GO111MODULE=on"}

func (b *goBuild) settings() (*goSettings, error) {
	if b.module == "" {
		return b.tool.settings("", nil, b.chdir()...)
	}
	there, err := b.tool.settings(filepath.Dir(b.modfile), apart)
	if err != nil {
		return nil, err
	}
	here, err := b.tool.settings("", nil, b.chdir()...)
	if err != nil {
		return nil, err
	}
	if version.Compare(here.GOVERSION, there.GOVERSION) > 0 { // the go command stays with the newer one
		return here, nil
	}
	there.GOFLAGS = here.GOFLAGS
	return there, nil
}

// download fetches the module of PACKAGE@VERSION, and puts the exact version in the arguments,
// so that what is checked is what is built.
func (b *goBuild) download() error {
	tmp, err := os.MkdirTemp("", "clonerand")
	if err != nil {
		return err
	}
	b.modfile = filepath.Join(tmp, "go.mod")
	first, query, _ := strings.Cut(b.packages[0], "@")
	var found struct{ Path, Version, Dir, Error string }
	var why error
	args := []string{"mod", "download", "-json"}
	for _, f := range b.flags {
		if f.name == "modcacherw" {
			args = append(args, f.String())
		}
	}
	prefix, _, wild := strings.Cut(first, "...")
	for prefix = strings.TrimSuffix(prefix, "/"); prefix != "." && prefix != "/"; prefix = path.Dir(prefix) {
		out, err := b.tool.run(tmp, apart, append(args, prefix+"@"+query)...)
		if json.Unmarshal(out, &found) == nil && found.Dir != "" && err == nil {
			// The longest path of a module which has the package, as the go command chooses.
			if files, _ := fs.Glob(os.DirFS(found.Dir), path.Join(".", strings.TrimPrefix(first, prefix), "*.go")); wild || len(files) > 0 {
				break
			}
			err = fmt.Errorf("%s@%s does not have it", found.Path, found.Version)
		}
		found.Dir = ""
		why = errors.Join(why, err)
	}
	if found.Dir == "" {
		return fmt.Errorf("no module with the package %s: %w", b.packages[0], why)
	}
	text, err := os.ReadFile(filepath.Join(found.Dir, "go.mod"))
	if err != nil {
		return fmt.Errorf("%s@%s cannot be checked: %w", found.Path, found.Version, err)
	}
	b.module = found.Dir
	text = toolchainLine.ReplaceAll(text, nil) // which counts in the main module alone
	if err := os.WriteFile(b.modfile, text, 0o600); err != nil {
		return err
	}
	rest := len(b.args) - len(b.packages)
	if b.args[0] == "run" {
		rest = slices.Index(b.args, b.packages[0])
	}
	b.args = slices.Clone(b.args)
	for i, p := range b.packages {
		name, q, ok := strings.Cut(p, "@")
		if !ok || q != query || name != found.Path && !strings.HasPrefix(name, found.Path+"/") {
			return fmt.Errorf("%s and %s: all packages have to be of one version of one module", b.packages[0], p)
		}
		b.packages[i] = name
		b.args[rest+i] = name + "@" + found.Version
	}
	return nil
}

var toolchainLine = regexp.MustCompile(`(?m)^\s*toolchain\s.*$`)

func (b *goBuild) close() {
	if b.modfile != "" {
		os.RemoveAll(filepath.Dir(b.modfile))
	}
}

// isBelow reports whether a file is below a folder, whatever symbolic links lead to both.
func isBelow(file, dir string) bool {
	for _, f := range []string{file, resolve(file)} {
		for _, d := range []string{dir, resolve(dir)} {
			if rel, err := filepath.Rel(d, f); err == nil && filepath.IsLocal(rel) {
				return true
			}
		}
	}
	return false
}

// resolve is the path without symbolic links, of as much of it as is there.
func resolve(name string) string {
	abs, err := filepath.Abs(name)
	if err != nil {
		return name
	}
	for dir, rest := abs, ""; ; {
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			return filepath.Join(real, rest)
		}
		up := filepath.Dir(dir)
		if up == dir {
			return abs
		}
		dir, rest = up, filepath.Join(filepath.Base(dir), rest)
	}
}
