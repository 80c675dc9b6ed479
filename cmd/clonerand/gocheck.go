package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/clonerand/rand/internal/goroot"
)

// A listedPackage is what go list says of one package.
type listedPackage struct {
	Dir, ImportPath, Name string
	DepOnly, Standard     bool
	GoFiles, CgoFiles     []string
	Deps                  []string
	Error                 *struct{ Err string }
}

// check refuses a build that would not draw from the package, before anything is built. It warns of one that draws from
// elsewhere, too.
func (b *goBuild) check(env *goSettings, tree string, warn io.Writer) error {
	now, err := b.tool.settings("", nil, b.chdir()...)
	var ran *exec.ExitError
	if err != nil && !errors.As(err, &ran) && tree != env.GOROOT {
		return fmt.Errorf("the go command of the patched tree does not run: %w; remove %s, or, where it is mounted noexec, name another cache folder with XDG_CACHE_HOME", err, tree)
	}
	if err != nil {
		return err
	}
	if now.GOROOT != tree {
		return fmt.Errorf("%s says that its GOROOT is %s, not the patched %s", b.tool.path, now.GOROOT, tree)
	}
	if c := b.flag(env, "compiler"); c != "" && c != "gc" {
		return fmt.Errorf("-compiler=%s has a standard library of its own, which is not patched", c)
	}
	for _, f := range append(splitGOFLAGS(env.GOFLAGS), b.flags...) {
		if f.name == "linkshared" && f.value != "false" {
			return errors.New("-linkshared: the hook does not reach from a program into a shared standard library")
		}
	}
	if err := b.checkOverlay(env, tree); err != nil {
		return err
	}
	if b.rewrites(env) {
		return b.checkRewrite(tree)
	}
	if !b.links() {
		return nil
	}
	packages, err := b.list(env)
	if err != nil {
		return err
	}
	// A pattern that matches nothing here may match in the module above.
	if b.module != "" && !slices.ContainsFunc(packages, func(p listedPackage) bool { return p.Name == "main" && !p.DepOnly && isBelow(p.Dir, b.module) }) {
		return fmt.Errorf("no program %s in %s", strings.Join(b.packages, ", "), b.module)
	}
	hooked, why, elsewhere := false, "", "" // elsewhere: what else is drawn from
	for _, p := range packages {
		if of, ok := otherGenerators[p.ImportPath]; ok && !slices.Contains(p.GoFiles, of.file) {
			elsewhere = fmt.Sprintf("what goes through %s draws from %s (to mend it, build with %s)", p.ImportPath, of.draws, of.mend)
		}
		switch p.ImportPath {
		case "crypto/internal/sysrand":
			if want := filepath.Join(tree, filepath.FromSlash(goroot.Folder)); p.Dir != want || !slices.Contains(p.GoFiles, goroot.Added) {
				return fmt.Errorf("the build uses crypto/internal/sysrand of %s, not of the patched tree %s", p.Dir, tree)
			}
		case packagePath:
			hooked, why = slices.Contains(p.GoFiles, hookFile), p.Dir
		}
	}
	var without []string
	for _, p := range packages {
		switch {
		case p.Name != "main" || p.DepOnly || p.ImportPath == packagePath:
		case len(p.GoFiles)+len(p.CgoFiles) == 0 && p.Error == nil: // tests alone
		case !slices.Contains(p.Deps, packagePath) && p.Error != nil: // of imports that cannot be read none is known
			return fmt.Errorf("%s cannot be checked: %s", p.ImportPath, p.Error.Err)
		case !slices.Contains(p.Deps, packagePath):
			without = append(without, p.ImportPath)
		case why == "":
			return fmt.Errorf("%s imports %s, which the go command does not find: go get %[2]s", p.ImportPath, packagePath)
		case !hooked:
			return fmt.Errorf("%s has a version of %s that knows nothing of a patched standard library (%s): go get %[2]s@latest", p.ImportPath, packagePath, why)
		case elsewhere != "":
			fmt.Fprintf(warn, "clonerand: %s is patched in part: %s\n", p.ImportPath, elsewhere)
		}
	}
	if len(without) > 0 {
		return fmt.Errorf("without this package in it a program draws from the operating system, patched or not: %s\n"+
			"go get %s, and put in a file of its package main: import _ %[2]q", strings.Join(without, ", "), packagePath)
	}
	return nil
}

// otherGenerators are packages of standard libraries from which keys and crypto/rand itself take bytes that never were in
// crypto/internal/sysrand, unless the build has this file of them.
var otherGenerators = map[string]struct{ file, draws, mend string }{
	"crypto/internal/boring": {"notboring.go", "BoringCrypto's own generator", "another GOEXPERIMENT than boringcrypto"},
	"crypto/internal/backend": {"nobackend.go", "the generator of another library, such as OpenSSL",
		"GOEXPERIMENT=nosystemcrypto in Microsoft's Go, -tags=no_openssl in Red Hat's, or with the Go of go.dev"},
}

// hookFile is the file of the package that knows of a patched standard library.
const hookFile = "whole.go"

// list asks the go command of the patched tree of which packages the build consists.
func (b *goBuild) list(settings *goSettings) ([]listedPackage, error) {
	args := []string{"list"}
	flags := b.flags
	if b.module != "" { // there the environment has none
		flags = append(splitGOFLAGS(settings.GOFLAGS), flags...)
	}
	for _, f := range flags {
		if slices.Contains(goFlagsOfList, f.name) && (b.module == "" || f.name != "C" && f.name != "mod" && f.name != "modfile") {
			args = append(args, f.String())
		}
	}
	var env []string
	if b.module != "" {
		args = append(args, "-mod=mod", "-modfile="+b.modfile)
		env = apart
	}
	args = append(args, "-e", "-deps", "-pgo=off", "-json=Dir,ImportPath,Name,DepOnly,Standard,GoFiles,CgoFiles,Deps,Error", "--")
	out, err := b.tool.run(b.module, env, append(args, b.packages...)...)
	if err != nil {
		return nil, err
	}
	var packages []listedPackage
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listedPackage
		switch err := d.Decode(&p); {
		case err == io.EOF:
			return packages, nil
		case err != nil:
			return nil, fmt.Errorf("go list: %w", err)
		}
		packages = append(packages, p)
	}
}

// checkOverlay refuses an -overlay that undoes the patch. It also refuses one for files of the
// GOROOT that the patched tree stands for, which the go command would silently ignore.
func (b *goBuild) checkOverlay(env *goSettings, tree string) error {
	name := b.flag(env, "overlay")
	if name == "" {
		return nil
	}
	if b.module != "" { // which is listed in another folder
		return errors.New("what an -overlay changes in PACKAGE@VERSION is not checked: leave it out, or build in a clone of the module")
	}
	name = b.within(name)
	text, err := os.ReadFile(name)
	if err != nil {
		return fmt.Errorf("-overlay: %w", err)
	}
	var overlay struct{ Replace map[string]string }
	if err := json.Unmarshal(text, &overlay); err != nil {
		return fmt.Errorf("-overlay %s: %w", name, err)
	}
	for file := range overlay.Replace {
		file = b.within(file)
		if isBelow(file, filepath.Join(tree, filepath.FromSlash(goroot.Folder))) {
			return fmt.Errorf("-overlay %s replaces %s, which is what the patch changes: leave it out", name, file)
		}
		if env.GOROOT != tree && isBelow(file, env.GOROOT) {
			return fmt.Errorf("-overlay %s replaces %s; the standard library of this build is in %s: name the file there", name, file, tree)
		}
	}
	return nil
}
