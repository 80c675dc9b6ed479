package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/version"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/clonerand/rand/internal/goroot"
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

// A goFlag is a flag of the go command with its value, if it has one.
type goFlag struct {
	name, value string
	isSet       bool // the value
}

func (f goFlag) String() string {
	if f.isSet {
		return "-" + f.name + "=" + f.value
	}
	return "-" + f.name
}

// The flags of go build, install and run (go help build), by whether a value follows them.
var goFlagTakesValue = map[string]bool{
	"C": true, "a": false, "n": false, "p": true, "race": false, "msan": false, "asan": false, "cover": false, "covermode": true,
	"coverpkg": true, "v": false, "work": false, "x": false, "asmflags": true, "buildmode": true, "buildvcs": false, "compiler": true,
	"gccgoflags": true, "gcflags": true, "installsuffix": true, "json": false, "ldflags": true, "linkshared": false, "mod": true,
	"modcacherw": false, "modfile": true, "overlay": true, "pgo": true, "pkgdir": true, "tags": true, "trimpath": false,
	"toolexec": true, "o": true, "exec": true, "debug-actiongraph": true, "debug-runtime-trace": true, "debug-trace": true,
}

// The flags that decide which packages a program consists of, and how modules are downloaded to find that out.
var goFlagsOfList = []string{"C", "asan", "installsuffix", "mod", "modcacherw", "modfile", "msan", "overlay", "race", "tags"}

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

// splitGoFlags finds the end of the flags, as package flag does.
func splitGoFlags(args []string) (flags []goFlag, rest []string, err error) {
	for len(args) > 0 {
		a := args[0]
		if len(a) < 2 || a[0] != '-' {
			break
		}
		args = args[1:]
		if a == "--" {
			break
		}
		var f goFlag
		f.name, f.value, f.isSet = strings.Cut(strings.TrimPrefix(a[1:], "-"), "=")
		takes, known := goFlagTakesValue[f.name]
		switch {
		case !known:
			return nil, nil, fmt.Errorf("the flag -%s is not known to clonerand; with clonerand goroot DIR you can run DIR/bin/go yourself", f.name)
		case takes && !f.isSet && len(args) == 0:
			return nil, nil, fmt.Errorf("flag needs an argument: -%s", f.name)
		case takes && !f.isSet:
			f.value, f.isSet, args = args[0], true, args[1:]
		}
		flags = append(flags, f)
	}
	return flags, args, nil
}

// findGoFlags finds, among the arguments of a command that links no program but tests, the flags that are checked. go
// test takes them behind the packages, too.
func findGoFlags(args []string) (flags []goFlag) {
	for i, a := range args[1:] {
		if a == "-args" || a == "--args" { // what follows is for the test
			break
		}
		if len(a) < 2 || a[0] != '-' {
			continue
		}
		var f goFlag
		f.name, f.value, f.isSet = strings.Cut(strings.TrimPrefix(a[1:], "-"), "=")
		switch {
		case f.name == "C" && i == 0:
		case args[0] == "test" && slices.Contains([]string{"compiler", "linkshared", "overlay"}, f.name):
		default:
			continue
		}
		if goFlagTakesValue[f.name] && !f.isSet && len(args) > i+2 {
			f.value, f.isSet = args[i+2], true
		}
		flags = append(flags, f)
	}
	return flags
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

// splitGOFLAGS knows the quotes of the go command: a whole item in ' or ".
func splitGOFLAGS(list string) (flags []goFlag) {
	for list = strings.TrimSpace(list); list != ""; list = strings.TrimSpace(list) {
		item := list
		if q := list[0]; q == '\'' || q == '"' {
			item, list, _ = strings.Cut(list[1:], string(q))
		} else if i := strings.IndexAny(list, " \t\n\r"); i >= 0 {
			item, list = list[:i], list[i:]
		} else {
			list = ""
		}
		var f goFlag
		f.name, f.value, f.isSet = strings.Cut(strings.TrimLeft(item, "-"), "=")
		flags = append(flags, f)
	}
	return flags
}

// chdir is the flag -C, which has to be the first.
func (b *goBuild) chdir() []string {
	if len(b.flags) > 0 && b.flags[0].name == "C" {
		return []string{b.flags[0].String()}
	}
	return nil
}

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

// within is a path as the go command sees it after -C.
func (b *goBuild) within(name string) string {
	if dir := b.chdir(); dir != nil && !filepath.IsAbs(name) {
		name = filepath.Join(b.flags[0].value, name)
	}
	return name
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
