package main

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What a program says of itself: whether its standard library is patched, and by what Go it was built.
const programText = `package main

import (
	"fmt"
	"os"
	"runtime"

	"github.com/clonerand/rand"
)

func main() {
	for _, p := range rand.Inspect(0) {
		if p.Name == "standard library" {
			fmt.Println(p.Active, runtime.Version(), tag, os.Args[1:])
		}
	}
}
`

const withoutText = "package main\n\nimport _ \"crypto/tls\"\n\nfunc main() { println(\"plain\") }\n"

// A scene is a module with a program, and how the go command is called.
type scene struct {
	t    *testing.T
	dir  string
	env  []string
	path string // of clonerand
}

// newScene makes a module that uses the package as it is in this repository.
func newScene(t *testing.T) *scene {
	t.Helper()
	if os.Getenv("CLONERAND_TEST_EMULATOR") != "" { // set by .ci/emulated.sh
		t.Skip("user-mode emulation: the go command is one of this machine")
	}
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("no go command:", err)
	}
	s := &scene{t: t, dir: filepath.Join(t.TempDir(), "a module"), path: program(t)}
	s.env = append(os.Environ(), "GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH, "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=", "GODEBUG=")
	s.write("main.go", programText)
	s.write("tag.go", "//go:build !tagged\n\npackage main\n\nconst tag = \"untagged\"\n")
	s.write("tagged.go", "//go:build tagged\n\npackage main\n\nconst tag = \"tagged\"\n")
	s.write("go.mod", s.goMod(""))
	s.write("go.sum", s.repository("go.sum"))
	return s
}

func (s *scene) repository(name string) string {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", name))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(text)
}

// goMod is that of this repository, with the repository in it and more lines.
func (s *scene) goMod(more string) string {
	here, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		s.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(s.repository("go.mod"), "\n")
	return fmt.Sprintf("module example.com/prog\n%s\n%s\nrequire %s v1.0.0\n\nreplace %[3]s => %q\n", rest, more, packagePath, here)
}

func (s *scene) write(name, text string) {
	s.t.Helper()
	name = filepath.Join(s.dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), 0o644)); err != nil {
		s.t.Fatal(err)
	}
}

// run runs clonerand go.
func (s *scene) run(args ...string) (stdout, stderr string, status int) {
	s.t.Helper()
	return s.exec(s.path, append([]string{"go"}, args...)...)
}

func (s *scene) exec(path string, args ...string) (stdout, stderr string, status int) {
	s.t.Helper()
	cmd := exec.Command(path, args...)
	var out, errs bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = s.dir, s.env, &out, &errs
	cmd.Run()
	if cmd.ProcessState == nil {
		s.t.Fatalf("%s does not run", path)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// patched runs go run, and checks that the program is patched. It returns what else it says.
func (s *scene) patched(args ...string) string {
	s.t.Helper()
	out, errs, status := s.run(args...)
	rest, ok := strings.CutPrefix(out, "true ")
	if !ok || status != 0 {
		s.t.Errorf("go %q: status %d, %q\n%s", args, status, out, errs)
	}
	return strings.TrimSpace(rest)
}

// refused checks that nothing is built, and why.
func (s *scene) refused(why string, args ...string) {
	s.t.Helper()
	before := s.files()
	out, errs, status := s.run(args...)
	if status == 0 || out != "" || !strings.Contains(errs, why) {
		s.t.Errorf("go %q: status %d, %q, want %q\n%s", args, status, out, why, errs)
	}
	if diff := cmp.Diff(before, s.files()); diff != "" {
		s.t.Errorf("go %q left files behind:\n%s", args, diff)
	}
}

func (s *scene) files() (names []string) {
	filepath.WalkDir(s.dir, func(name string, _ fs.DirEntry, _ error) error {
		names = append(names, name)
		return nil
	})
	return names
}

func TestGoRunIsPatched(t *testing.T) {
	s := newScene(t)
	module := s.dir
	if got := s.patched("run", ".", "-C", "x", "y.go"); !strings.HasSuffix(got, "untagged [-C x y.go]") {
		t.Errorf("the program got other arguments: %s", got)
	}
	s.patched("run", "main.go", "tag.go", "-v")
	if got := s.patched("run", "-tags", "tagged", "--", "."); !strings.HasSuffix(got, "tagged []") {
		t.Error(got)
	}

	s.dir = t.TempDir() // where there is no module
	s.patched("run", "-C", module, ".")
	s.patched("run", "-C="+module, ".")
	s.env = append(s.env, "GOROOT="+goEnv(t, "GOROOT"))
	s.patched("run", "-C", module, ".")
	s.refused("", "run", ".")
}

func TestGoWorkIsPatched(t *testing.T) {
	s := newScene(t)
	s.write("go.work", "go 1.26.0\n\nuse (\n\t./one\n\t./two\n)\n")
	for _, name := range []string{"main.go", "tag.go", "tagged.go", "go.sum"} {
		text, err := os.ReadFile(filepath.Join(s.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		s.write("one/"+name, string(text))
		os.Remove(filepath.Join(s.dir, name))
	}
	s.write("one/go.mod", s.goMod(""))
	os.Remove(filepath.Join(s.dir, "go.mod"))
	s.write("two/go.mod", "module example.com/two\n\ngo 1.26.0\n")
	s.write("two/main.go", withoutText)
	s.patched("run", "./one")
	s.patched("run", "example.com/prog")
	s.refused("example.com/two\n", "run", "./two")
}

// The toolchain that a module asks for is patched, not the one at hand.
func TestTheToolchainOfTheModuleIsPatched(t *testing.T) {
	s := newScene(t)
	other := "go1.27.4"
	if s.patched("run", ".") == other+" untagged []" {
		other = "go1.26.8"
	}
	if out, err := exec.Command("go", "env", "GOPROXY").Output(); err != nil || strings.TrimSpace(string(out)) == "off" {
		t.Skip("no module proxy")
	}
	want := other + " untagged []"
	plain := slices.Clone(s.env)
	s.env = append(plain, "GOTOOLCHAIN="+other)
	if out, errs, status := s.exec("go", "version"); status != 0 {
		t.Skipf("%s is not to be had here: %s%s", other, out, errs)
	}
	if got := s.patched("run", "."); got != want {
		t.Errorf("GOTOOLCHAIN in the environment: %q, want %q", got, want)
	}
	settings := filepath.Join(t.TempDir(), "env")
	s.env = append(plain, "GOENV="+settings, "GOTOOLCHAIN=")
	if _, errs, status := s.exec("go", "env", "-w", "GOTOOLCHAIN="+other); status != 0 {
		t.Fatal(errs)
	}
	if got := s.patched("run", "."); got != want {
		t.Errorf("GOTOOLCHAIN by go env -w: %q, want %q", got, want)
	}
	if out, _, _ := s.run("env", "GOTOOLCHAIN"); out != "local\n" {
		t.Errorf("the tree may go on to the toolchain %s", out)
	}
	if other == "go1.26.8" {
		return // no line of go.mod asks for an older one
	}
	s.env = append(plain, "GOTOOLCHAIN=auto")
	s.write("go.mod", s.goMod("toolchain "+other))
	if got := s.patched("run", "."); got != want {
		t.Errorf("a toolchain line: %q, want %q", got, want)
	}
	module := s.dir
	s.dir = t.TempDir()
	if got := s.patched("run", "-C", module, "."); got != want {
		t.Errorf("a toolchain line there: %q, want %q", got, want)
	}
	s.dir = module
	s.write("go.mod", strings.Replace(s.goMod(""), "\ngo 1.26.0\n", "\ngo 1.27.4\n", 1))
	if got := s.patched("run", "."); got != want {
		t.Errorf("a newer go line: %q, want %q", got, want)
	}
	s.env = append(plain, "GOTOOLCHAIN=local")
	s.refused("go.mod requires go >= 1.27.4", "run", ".")
}

func TestGOFLAGSAreFollowed(t *testing.T) {
	s := newScene(t)
	plain := slices.Clone(s.env)
	s.env = append(plain, `GOFLAGS=-trimpath "-ldflags=-s -w" '-tags=tagged'`)
	if got := s.patched("run", "."); !strings.HasSuffix(got, " tagged []") {
		t.Errorf("GOFLAGS in the environment: %s", got)
	}
	s.env = append(plain, "GOENV="+filepath.Join(t.TempDir(), "env"))
	s.env = slices.DeleteFunc(s.env, func(e string) bool { return e == "GOFLAGS=" })
	if _, errs, status := s.exec("go", "env", "-w", "GOFLAGS=-tags=tagged -mod=mod"); status != 0 {
		t.Fatal(errs)
	}
	if got := s.patched("run", "."); !strings.HasSuffix(got, " tagged []") {
		t.Errorf("GOFLAGS by go env -w: %s", got)
	}
	s.env = append(plain, "GOFLAGS=-compiler=gccgo")
	s.refused("has a standard library of its own", "build", ".")
	s.env = append(plain, "GOFLAGS=-linkshared")
	s.refused("-linkshared: the hook does not reach", "build", ".")
	s.env = plain
	s.refused("-linkshared: the hook does not reach", "run", "-linkshared", ".")
	s.refused("has a standard library of its own", "build", "-compiler", "gccgo", ".")
	for _, args := range [][]string{{"-compiler=gccgo", "."}, {".", "--compiler", "gccgo"}, {"-run", "x", ".", "-linkshared"}} {
		s.refused("clonerand: -", append([]string{"test"}, args...)...)
	}
	if out, errs, status := s.run("test", ".", "-args", "-compiler=gccgo"); status != 0 {
		t.Errorf("a flag of the test: %s%s", out, errs)
	}
	s.refused("the flag -frobnicate is not known to clonerand", "build", "-frobnicate", "x", ".")
	s.refused("flag needs an argument: -o", "build", "-o")
}

func TestOverlayOfTheUser(t *testing.T) {
	s := newScene(t)
	lay := func(file, text string) string {
		t.Helper()
		dir := t.TempDir()
		by, list := filepath.Join(dir, "by.go"), filepath.Join(dir, "overlay.json")
		all, err := json.Marshal(map[string]any{"Replace": map[string]string{file: by}})
		if err := errors.Join(err, os.WriteFile(by, []byte(text), 0o644), os.WriteFile(list, all, 0o644)); err != nil {
			t.Fatal(err)
		}
		return list
	}
	if got := s.patched("run", "-overlay", lay(filepath.Join(s.dir, "tag.go"), "package main\n\nconst tag = \"overlaid\"\n"), "."); !strings.HasSuffix(got, "overlaid []") {
		t.Errorf("the overlay did nothing: %s", got)
	}
	tree, _, _ := s.run("env", "GOROOT")
	tree = strings.TrimSpace(tree)
	for _, command := range []string{"build", "test"} {
		s.refused("which is what the patch changes", command, "-overlay", lay(filepath.Join(tree, "src/crypto/internal/sysrand/rand.go"), ""), ".")
	}
	top := filepath.VolumeName(tree) + string(filepath.Separator)
	relative := strings.TrimPrefix(filepath.Join(tree, "src/crypto/internal/sysrand/clonerand.go"), top)
	s.refused("which is what the patch changes", "build", "-C", top, "-overlay", lay(relative, ""), ".")
	plain, _, _ := s.exec("go", "env", "GOROOT")
	list := lay(filepath.Join(strings.TrimSpace(plain), "src/crypto/rand/text.go"), "")
	s.refused("name the file there", "build", "-overlay="+list, ".")
	s.env = append(s.env, "GOFLAGS=-overlay="+list)
	s.refused("name the file there", "build", ".")
}

func TestAProgramWithoutThePackageIsRefused(t *testing.T) {
	s := newScene(t)
	s.write("cmd/one/main.go", withoutText)
	s.write("cmd/two/main.go", withoutText)
	s.write("lib/lib.go", "package lib\n")
	// The go command takes -C before its command, too.
	s.refused("wants a command of go first", "--", "-C", "cmd/one", "build", ".")
	for _, args := range [][]string{{"build", "./..."}, {"install", "./cmd/..."}, {"run", "./cmd/one"}, {"build", "cmd/one/main.go"},
		{"build", "-o", "x", "-v", "-ldflags", "-s -w", "./cmd/two"}, {"run", "-C", "cmd/one", "."}} {
		s.refused("import _ \"github.com/clonerand/rand\"", args...)
	}
	s.refused("example.com/prog/cmd/one, example.com/prog/cmd/two\n", "build", "./...")
	if _, errs, status := s.run("build", "./lib"); status != 0 {
		t.Errorf("a package that is no program: %s", errs)
	}
	if _, errs, status := s.run("vet", "./..."); status != 0 {
		t.Errorf("vet: %s", errs)
	}
	s.write("cmd/one/rand.go", "package main\n\nimport _ \"github.com/clonerand/rand\"\n")
	s.write("cmd/one/tests/main_test.go", "package main\n") // no program, though its package is main
	if _, errs, status := s.run("build", "./cmd/one/..."); status != 0 {
		t.Errorf("with the import: %s", errs)
	}

	s.write("cmd/two/main.go", "package main\n\nimport (\n\t\"fmt\n)\n")
	s.refused("string literal not terminated", "build", "./cmd/two")

	// A version of the package from before the hook.
	s.write("old/go.mod", "module "+packagePath+"\n\ngo 1.26.0\n")
	s.write("old/rand.go", "package rand\n")
	s.write("go.mod", "module example.com/prog\n\ngo 1.26.0\n\nrequire "+packagePath+" v1.0.0\n\nreplace "+packagePath+" => ./old\n")
	s.refused("go get github.com/clonerand/rand@latest", "build", "./cmd/one")

	s.write("go.mod", "module example.com/prog\n\ngo 1.26.0\n")
	s.refused("does not find: go get github.com/clonerand/rand\n", "build", "./cmd/one")
}

// There are standard libraries that draw from another library, and never ask what is patched.
func TestAProgramThatDrawsElsewhereIsNotBuiltInSilence(t *testing.T) {
	s := newScene(t)
	plain := slices.Clone(s.env)
	warned := func(want string, args ...string) {
		t.Helper()
		if _, errs, status := s.run(args...); status != 0 || strings.Contains(errs, "is patched in part") != (want != "") || !strings.Contains(errs, want) {
			t.Errorf("%q: status %d, want %q of\n%s", args, status, want, errs)
		}
	}
	s.env = append(plain, "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=1", "GOEXPERIMENT=boringcrypto")
	warned("draws from BoringCrypto's own generator", "build", "-n", ".")
	s.env = append(plain, "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=1")
	warned("draws from BoringCrypto's own generator", "build", "-n", "-tags=goexperiment.boringcrypto", ".")
	warned("", "build", "-n", ".")

	s.env = plain // as in Microsoft's and Red Hat's Go
	tree, _, _ := s.run("env", "GOROOT")
	src := filepath.Join(strings.TrimSpace(tree), "src", "crypto")
	dir := t.TempDir()
	for name, want := range map[string]string{"openssl_linux.go": "draws from the generator of another library, such as OpenSSL", "nobackend.go": ""} {
		overlay := struct{ Replace map[string]string }{make(map[string]string)}
		for file, text := range map[string]string{filepath.Join(src, "internal", "backend", name): "package backend\n",
			filepath.Join(src, "rand", "backend.go"): "package rand\n\nimport _ \"crypto/internal/backend\"\n"} {
			by := filepath.Join(dir, filepath.Base(file))
			overlay.Replace[file] = by
			if err := os.WriteFile(by, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		text, err := json.Marshal(overlay)
		list := filepath.Join(dir, "overlay.json")
		if err := errors.Join(err, os.WriteFile(list, text, 0o644)); err != nil {
			t.Fatal(err)
		}
		warned(want, "build", "-n", "-overlay", list, ".")
	}
}

// The files of the tree are links, and these commands write to files that are there.
func TestTheToolchainIsNotRewritten(t *testing.T) {
	s := newScene(t)
	tree, _, _ := s.run("env", "GOROOT")
	src := filepath.Join(strings.TrimSpace(tree), "src")
	for _, args := range [][]string{{"fmt", "-n", "errors"}, {"fix", "-diff", "errors"}, {"generate", "-n", "-run", "x", "errors"},
		{"fmt", "-n", filepath.Join(src, "errors", "join.go")}, {"fmt", "-C", src, "-n", filepath.Join("errors", "join.go")}, {"fix", "-C", filepath.Join(src, "errors"), "-diff"},
		{"vet", "-fix", "-diff", "errors"}, {"vet", "-C", src, "-fix=true", "-diff", "./errors"}} {
		s.refused("links to those of your own Go", args...)
	}
	s.write("lib/lib.go", "package   lib\n")
	for _, args := range [][]string{{"generate", "./..."}, {"fmt", "-C", "lib"}, {"fmt", "tag.go"}, {"vet", "-fix", "./lib"}, {"vet", "errors"}} {
		if out, errs, status := s.run(args...); status != 0 {
			t.Errorf("go %q: status %d, %s%s", args, status, out, errs)
		}
	}
	if text, err := os.ReadFile(filepath.Join(s.dir, "lib/lib.go")); string(text) != "package lib\n" {
		t.Errorf("go fmt made %q, %v", text, err)
	}
	s.env = append(s.env, "GOFLAGS=-fix")
	s.refused("links to those of your own Go", "vet", "-diff", "errors")
}

// PACKAGE@VERSION is of a module of its own, whatever the current folder is in.
func TestInstallOfAVersion(t *testing.T) {
	if host, err := exec.Command("go", "env", "GOHOSTARCH").Output(); err != nil || strings.TrimSpace(string(host)) != runtime.GOARCH {
		t.Skipf("the go command installs no program of another CPU than its own where GOBIN is set: %s, %v", host, err)
	}
	s := newScene(t)
	proxy := t.TempDir()
	publish := func(path, version string, files map[string]string) {
		t.Helper()
		dir := filepath.Join(proxy, filepath.FromSlash(path), "@v")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		var archive bytes.Buffer
		z := zip.NewWriter(&archive)
		for name, text := range files {
			w, err := z.Create(path + "@" + version + "/" + name)
			if err != nil {
				t.Fatal(err)
			}
			w.Write([]byte(text))
		}
		z.Close()
		for name, text := range map[string]string{"list": version + "\n", version + ".info": `{"Version":"` + version + `"}`, version + ".mod": files["go.mod"], version + ".zip": archive.String()} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	ours := make(map[string]string)
	root := os.DirFS("../..")
	for _, pattern := range []string{"*", "internal/*/*"} {
		names, err := fs.Glob(root, pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if info, err := fs.Stat(root, name); err == nil && info.Mode().IsRegular() && !strings.HasSuffix(name, "_test.go") {
				ours[name] = s.repository(name)
			}
		}
	}
	publish(packagePath, "v1.2.3", ours)
	_, requires, _ := strings.Cut(s.repository("go.mod"), "\n")
	tools := map[string]string{
		"go.mod":              "module example.com/tools\n" + requires + "\nrequire " + packagePath + " v1.2.3\n",
		"with/main.go":        strings.Replace(programText, "tag, ", "", 1),
		"without/main.go":     withoutText,
		"tagged/main.go":      withoutText,
		"tagged/rand.go":      "//go:build !lite\n\npackage main\n\nimport _ \"" + packagePath + "\"\n",
		"internal/x/dummy.go": "package x\n",
		"sub/with/main.go":    strings.Replace(programText, "tag, ", "", 1),
		"sub/without/main.go": withoutText,
	}
	publish("example.com/tools", "v1.2.3", tools)
	// A module in the folder of another, which does not have the packages that the other has there.
	publish("example.com/tools/sub", "v1.2.3", map[string]string{"go.mod": "module example.com/tools/sub\n", "sub.go": "package sub\n"})
	bin := t.TempDir()
	cache := t.TempDir()
	old, _, _ := s.exec("go", "env", "GOPROXY")
	modules, _, _ := s.exec("go", "env", "GOMODCACHE")
	// The modules that are there serve as a proxy, so that no network is needed.
	s.env = append(s.env, "GOBIN="+bin, "GOMODCACHE="+cache, "GONOSUMDB=*",
		"GOPROXY=file://"+filepath.ToSlash(proxy)+",file://"+filepath.ToSlash(strings.TrimSpace(modules))+"/cache/download,"+strings.TrimSpace(old))

	defer s.exec("go", "clean", "-modcache") // whose folders are read-only

	for _, version := range []string{"latest", "v1.2.3"} {
		if _, errs, status := s.run("install", "example.com/tools/with@"+version); status != 0 {
			t.Fatalf("@%s: status %d\n%s", version, status, errs)
		}
		if out, _, _ := s.exec(filepath.Join(bin, "with"+executableSuffix)); !strings.HasPrefix(out, "true ") {
			t.Errorf("@%s: %s", version, out)
		}
	}
	if got := s.patched("run", "example.com/tools/with@latest", "a@b"); !strings.HasSuffix(got, "[a@b]") {
		t.Error(got)
	}
	s.refused("example.com/tools/without\n", "install", "example.com/tools/without@latest")
	s.refused("example.com/tools/without\n", "install", "example.com/tools/...@latest")
	s.patched("run", "example.com/tools/sub/with@v1.2.3")
	s.refused("no module with the package", "install", "example.com/missing@latest")
	s.refused("no module with the package", "install", "example.com/tools/missing@latest")
	tools["sub/without/main.go"] = tools["sub/with/main.go"] // in a later version
	publish("example.com/tools", "v1.3.0", tools)
	s.refused("example.com/tools/sub/without\n", "install", "example.com/tools/sub/without@v1.2.3")
	s.refused("no program example.com/tools/sub/wi...", "install", "example.com/tools/sub/wi...@v1.2.3")
	s.patched("run", "example.com/tools/sub/without@v1.3.0")
	s.patched("run", "example.com/tools/sub/without@latest")
	s.refused("example.com/tools/without\n", "install", "example.com/tools/without@v1.2.3")
	if _, err := os.Stat(filepath.Join(bin, "without"+executableSuffix)); err == nil {
		t.Error("it was installed")
	}

	s.refused("an -overlay changes", "install", "-overlay=x.json", "example.com/tools/with@latest")

	// The toolchain line of a module counts where it is the main module.
	publish("example.com/line", "v1.0.0", map[string]string{"go.mod": strings.Replace(tools["go.mod"], "example.com/tools\n", "example.com/line\n\ntoolchain go1.99.0\n", 1),
		"main.go": tools["with/main.go"]})
	plain := slices.Clone(s.env)
	s.env = append(plain, "GOTOOLCHAIN=auto")
	if got := s.patched("run", "-modcacherw", "example.com/line@v1.0.0"); !strings.HasPrefix(got, "go1.") {
		t.Error(got)
	}
	if info, err := os.Stat(filepath.Join(cache, "example.com", "line@v1.0.0")); err != nil || info.Mode()&0o200 == 0 {
		t.Errorf("-modcacherw was not minded: %v, %v", info, err)
	}
	s.env = plain

	// What GOFLAGS say of the build decides here, too.
	if _, errs, status := s.run("install", "example.com/tools/tagged@latest"); status != 0 {
		t.Errorf("status %d\n%s", status, errs)
	}
	s.env = append(s.env, "GOFLAGS=-tags=lite")
	s.refused("example.com/tools/tagged\n", "install", "example.com/tools/tagged@latest")
}

var everyPort = flag.Bool("ports", false, "cross-build patched programs for many systems: each compiles a standard library")

// A program for another system cannot be run here, but it can be looked at.
func TestCrossBuildsArePatched(t *testing.T) {
	ports := []string{"linux/386"}
	if *everyPort {
		ports = []string{"linux/arm64", "windows/amd64", "darwin/arm64", "js/wasm", "plan9/amd64", "freebsd/amd64"}
	}
	for _, port := range ports {
		s := newScene(t)
		system, cpu, _ := strings.Cut(port, "/")
		s.env = append(s.env, "GOOS="+system, "GOARCH="+cpu)
		if _, errs, status := s.run("build", "-ldflags=-s -w", "-o", "prog", "."); status != 0 {
			t.Fatalf("%s: status %d\n%s", port, status, errs)
		}
		if out, _, status := s.exec(s.path, "std", "check", "prog"); status != 0 || out != "prog: patched, and the package is in it\n" {
			t.Errorf("%s: %s", port, out)
		}
	}
}

func TestStdCheckTellsProgramsApart(t *testing.T) {
	s := newScene(t)
	s.write("without/main.go", withoutText)
	for name, build := range map[string]func() (string, string, int){
		"both":    func() (string, string, int) { return s.run("build", "-trimpath", "-ldflags=-s -w", "-o", "both", ".") },
		"plain":   func() (string, string, int) { return s.exec("go", "build", "-o", "plain", ".") },
		"neither": func() (string, string, int) { return s.exec("go", "build", "-o", "neither", "./without") },
		"patched": func() (string, string, int) { // which clonerand go refuses to build
			tree, _, _ := s.run("env", "GOROOT")
			tree = strings.TrimSpace(tree)
			s.env = append(s.env, "GOROOT="+tree, "GOTOOLCHAIN=local")
			defer func() { s.env = s.env[:len(s.env)-2] }()
			return s.exec(filepath.Join(tree, "bin", "go"), "build", "-o", "patched", "./without")
		},
	} {
		if _, errs, status := build(); status != 0 {
			t.Fatalf("%s: %s", name, errs)
		}
	}
	// As in a program with BoringCrypto, to compile which takes minutes.
	both, err := os.ReadFile(filepath.Join(s.dir, "both"))
	if err != nil {
		t.Fatal(err)
	}
	s.write("boring", string(both)+"\x00crypto/internal/boring.(*randReader).Read\x00")
	if out, _, status := s.exec(s.path, "std", "check", "boring"); status != 1 || !strings.Contains(out, "but crypto/rand and most keys draw from BoringCrypto") {
		t.Errorf("with BoringCrypto: status %d, %s", status, out)
	}
	want := "both: patched, and the package is in it\n" +
		"plain: not patched, though the package is in it: build it with clonerand go build\n" +
		"neither: not patched, and the package is not in it\n" +
		"patched: patched, but the package is not in it: import _ \"github.com/clonerand/rand\" in its package main\n"
	if out, errs, status := s.exec(s.path, "std", "check", "both", "plain", "neither", "patched"); out != want || status != 1 {
		t.Errorf("status %d, %s%s", status, out, errs)
	}
	if out, _, status := s.exec(s.path, "std", "check", s.path); status != 1 || !strings.Contains(out, "not patched, though") {
		t.Errorf("this command itself: %s", out)
	}
	if _, errs, status := s.exec(s.path, "std", "check", "missing"); status != 1 || !strings.Contains(errs, "missing") {
		t.Errorf("a missing file: status %d, %s", status, errs)
	}
}

// The patch that is shown is the one that is made.
func TestStdDiffIsThePatch(t *testing.T) {
	s := newScene(t)
	diff, errs, status := s.exec(s.path, "std", "diff")
	if status != 0 {
		t.Fatal(errs)
	}
	git, err := exec.LookPath("git")
	if err != nil {
		t.Skip("no git to apply it with")
	}
	plain, _, _ := s.exec("go", "env", "GOROOT")
	tree, _, _ := s.run("env", "GOROOT")
	const folder = "src/crypto/internal/sysrand"
	apply := t.TempDir()
	if err := os.CopyFS(filepath.Join(apply, folder), os.DirFS(filepath.Join(strings.TrimSpace(plain), folder))); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(git, "apply", "-")
	cmd.Dir, cmd.Stdin = apply, strings.NewReader(diff)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s\n%s", err, out, diff)
	}
	for _, name := range []string{"rand.go", "clonerand.go"} {
		got, err := os.ReadFile(filepath.Join(apply, folder, name))
		want, err2 := os.ReadFile(filepath.Join(strings.TrimSpace(tree), folder, name))
		if err := errors.Join(err, err2); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %v\n%s", name, err, cmp.Diff(string(want), string(got)))
		}
	}
}

func TestGorootMakesAGoThatStaysPatched(t *testing.T) {
	s := newScene(t)
	dir := filepath.Join(t.TempDir(), "its own")
	if out, errs, status := s.exec(s.path, "goroot", dir); status != 0 || !strings.Contains(out, "GOTOOLCHAIN=local") {
		t.Fatalf("status %d\n%s%s", status, out, errs)
	}
	s.env = append(s.env, "GOROOT=", "GOTOOLCHAIN=", "GOENV=off")
	if out, errs, _ := s.exec(filepath.Join(dir, "bin", "go"), "run", "."); !strings.HasPrefix(out, "true ") {
		t.Errorf("%s%s", out, errs)
	}
	if out, _, _ := s.exec(filepath.Join(dir, "bin", "go"), "env", "GOTOOLCHAIN"); out != "local\n" {
		t.Errorf("GOTOOLCHAIN is %s", out)
	}
	if _, errs, status := s.exec(s.path, "goroot", dir); status != 1 || !strings.Contains(errs, "is not empty") {
		t.Errorf("a second time: status %d, %s", status, errs)
	}
}

func TestTenBuildsAtOnceMakeOneTree(t *testing.T) {
	s := newScene(t)
	cache := filepath.Join(t.TempDir(), "a cache")
	if err := os.Mkdir(cache, 0o700); err != nil {
		t.Fatal(err)
	}
	s.env = append(s.env, "XDG_CACHE_HOME="+cache, "LocalAppData="+cache, "HOME="+cache, "GOCACHE="+goCache(t), "GOMODCACHE="+goModCache(t))
	var group sync.WaitGroup
	for range 10 {
		group.Go(func() {
			if out, errs, status := s.run("env", "GOROOT"); status != 0 || !isBelow(strings.TrimSpace(out), cache) {
				t.Errorf("status %d, %s%s", status, out, errs)
			}
		})
	}
	group.Wait()
	trees, _ := filepath.Glob(filepath.Join(cache, "clonerand", "go*"))
	if runtime.GOOS == "darwin" {
		trees, _ = filepath.Glob(filepath.Join(cache, "Library", "Caches", "*", "go*"))
	}
	if len(trees) != 1 {
		t.Errorf("there are %q", trees)
	}
	s.patched("run", ".")
}

func goCache(t *testing.T) string    { return goEnv(t, "GOCACHE") }
func goModCache(t *testing.T) string { return goEnv(t, "GOMODCACHE") }

func goEnv(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.Command("go", "env", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// The status of a go command that fails is passed on, and so is what it says.
func TestTheStatusIsTheGoCommands(t *testing.T) {
	s := newScene(t)
	s.write("bad/bad.go", "package bad\n\nfunc f() int {}\n")
	s.write("bad/main/main.go", strings.Replace(programText, "tag, ", "1 + ", 1))
	for _, args := range [][]string{{"frobnicate"}, {"help", "build"}, {"vet", "./missing"}, {"vet", "./bad"}, {"build", "./bad"}, {"build", "./bad/main"}, {"env", "-json", "GOOS"}, {"tool", "frobnicate"}} {
		wantOut, wantErrs, want := s.exec("go", args...)
		out, errs, status := s.run(args...)
		if status != want || out != wantOut || errs != wantErrs {
			t.Errorf("go %q: status %d, want %d (-want +got):\n%s", args, status, want, cmp.Diff(wantOut+wantErrs, out+errs))
		}
	}
}
