package rand

import (
	"bytes"
	"context"
	cryptorand "crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/clonerand/rand/internal/goroot"
)

// In a patched program seeding draws from what the standard library drew from before.
func TestSystemReaderIsWhatStdHadBefore(t *testing.T) {
	if got := newSystemReader(nil); got != cryptorand.Reader {
		t.Errorf("without a patch it is %v", got)
	}
	var b [20]byte
	n, err := newSystemReader(func(b []byte) { copy(b, "the operating system") }).Read(b[:])
	if n != len(b) || err != nil || string(b[:]) != "the operating system" {
		t.Errorf("%d, %v, %q", n, err, b)
	}
}

// The hook asks the default generator even if Reader was replaced: by crypto/rand's,
// which would ask the hook.
func TestHookDoesNotAskWhatReaderWasReplacedBy(t *testing.T) {
	defer func(r io.Reader) { Reader = r }(Reader)
	Reader = readerFunc(func([]byte) (int, error) {
		t.Error("the hook drew from a Reader that was put there")
		return 0, io.EOF
	})
	var a, b [16]byte
	readForStd(a[:])
	readForStd(b[:])
	if a == b {
		t.Errorf("%x twice", a)
	}
	if allocs := testing.AllocsPerRun(100, func() { readForStd(a[:]) }); allocs > 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func TestInspectSaysWhetherTheStandardLibraryDrawsFromHere(t *testing.T) {
	for name, c := range map[string]struct {
		hooked  bool
		deaf    bool // the standard library, to the hook
		reader  io.Reader
		godebug string
		active  bool
		detail  string // begins with it
	}{
		"plain":                        {detail: "it draws from the operating system"},
		"plain, Reader replaced":       {reader: defaultReader, detail: "partly: crypto/rand.Reader is this"},
		"plain, another Reader":        {reader: readerFunc(nil), detail: "it draws from the operating system"},
		"patched":                      {hooked: true, active: true, detail: "patched"},
		"patched, Reader replaced":     {hooked: true, reader: defaultReader, active: true, detail: "patched"},
		"patched, another Reader":      {hooked: true, reader: readerFunc(nil), detail: "partly: it is patched, but crypto/rand.Reader was"},
		"BoringCrypto":                 {hooked: true, deaf: true, detail: "partly: it is patched, but crypto/rand draws from BoringCrypto"},
		"cryptocustomrand":             {hooked: true, godebug: "x=1,cryptocustomrand=1", detail: "partly: it is patched, but functions honour"},
		"cryptocustomrand, off again":  {hooked: true, godebug: "cryptocustomrand=1,cryptocustomrand=0", active: true, detail: "patched"},
		"cryptocustomrand, for bisect": {hooked: true, godebug: "cryptocustomrand=1#3", detail: "partly: it is patched, but functions honour"},
		"another setting":              {hooked: true, godebug: "fips140=on", active: true, detail: "patched"},
	} {
		if c.reader == nil {
			c.reader = cryptorand.Reader
		}
		p := Protection{Name: "standard library"}.judgeStd(c.hooked, func() bool { return !c.deaf }, c.reader, c.godebug)
		if p.Active != c.active || !strings.HasPrefix(p.Detail, c.detail) || (p.Mend == "") != p.Active {
			t.Errorf("%s: %+v", name, p)
		}
	}
	rows := Inspect(0)
	if last := rows[len(rows)-1]; last.Name != "standard library" || last.Active != (stdHook.Load() != nil) {
		t.Errorf("Inspect says %+v", last)
	}
}

// A goTool is a go command, of a patched tree or as it is, and what its environment has in addition.
type goTool struct {
	path string
	env  []string
}

func plainGo(t *testing.T) goTool {
	t.Helper()
	skipEmulated(t, "the kernel starts no program of another CPU")
	path, err := exec.LookPath("go")
	if err != nil {
		cannot(t, "no go command: %v", err)
	}
	return goTool{path: path}
}

// patchedGo is that of the tree which clonerand go would use.
func patchedGo(t *testing.T) goTool {
	t.Helper()
	plain := plainGo(t)
	tree, err := patchedTree()
	if err != nil {
		t.Fatal(err)
	}
	return goTool{filepath.Join(tree, "bin", filepath.Base(plain.path)), []string{"GOROOT=" + tree, "GOTOOLCHAIN=local"}}
}

var patchedTree = sync.OnceValues(func() (tree string, err error) {
	out, err := exec.Command("go", "env", "-json", "GOROOT", "GOVERSION", "GOCACHE").Output()
	if err != nil {
		return "", err
	}
	var env struct{ GOROOT, GOVERSION, GOCACHE string }
	if err := json.Unmarshal(out, &env); err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = env.GOCACHE
	}
	return goroot.Cached(env.GOROOT, env.GOVERSION, filepath.Join(cache, "clonerand"))
})

// command makes a command of the go tool, for the system under test.
func (g goTool) command(args ...string) *exec.Cmd {
	cmd := exec.Command(g.path, args...)
	cmd.Env = slices.Concat(os.Environ(), []string{"GOOS=" + runtime.GOOS, "GOARCH=" + runtime.GOARCH, "CGO_ENABLED=0"}, g.env)
	return cmd
}

// build builds a program of testdata.
func (g goTool) build(t *testing.T, pkg string, flags ...string) (program string) {
	t.Helper()
	program = filepath.Join(t.TempDir(), filepath.Base(pkg)+".exe") // a name that every system runs
	build := g.command(append(append([]string{"build", "-o", program}, flags...), pkg)...)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return program
}

// output runs a program, or skips the test where this machine cannot. One that draws from itself
// would hang.
func output(t *testing.T, env []string, program string, args ...string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	run := exec.CommandContext(ctx, program, args...)
	run.Env = append(os.Environ(), env...)
	out, err := run.Output()
	if run.Process == nil {
		cannot(t, "the system does not run a %s/%s program: %v", runtime.GOOS, runtime.GOARCH, err)
	}
	if err != nil {
		var exit *exec.ExitError
		errors.As(err, &exit)
		t.Fatalf("%s: %v (%v): %s", env, err, ctx.Err(), exit.Stderr)
	}
	return out
}

// cannot skips a test that this machine cannot run. In CI it has to run.
func cannot(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

var wholeFlag = flag.String("whole", "", "builds of a patched program to try beside the default ones, by the names in wholeBuilds, separated by commas; all is all of them, std are the standard library's own tests. Each may compile the standard library again")

// A wholeBuild is a way to build a patched program. Those that are not usual compile the
// standard library again, which takes a minute or more.
type wholeBuild struct {
	name    string
	usual   bool
	flags   []string
	env     []string // of the build
	godebug string   // of the run
	cgo     bool     // needs a C compiler
	partly  string   // what Inspect says instead of "patched"
	fips    bool     // the program is in FIPS mode
}

var wholeBuilds = []wholeBuild{
	{name: "default", usual: true},
	{name: "fips140=on", usual: true, godebug: "fips140=on", fips: true},
	{name: "fips140=only", usual: true, godebug: "fips140=only", fips: true},
	{name: "cryptocustomrand", usual: true, godebug: "cryptocustomrand=1", partly: "functions honour any reader"},
	{name: "stripped", usual: true, flags: []string{"-trimpath", "-ldflags=-s -w"}},
	{name: "cover", usual: true, flags: []string{"-cover"}},
	{name: "purego", flags: []string{"-tags=purego"}},
	{name: "cgo", env: []string{"CGO_ENABLED=1"}, cgo: true},
	{name: "race", flags: []string{"-race"}, env: []string{"CGO_ENABLED=1"}, cgo: true},
	{name: "pie", flags: []string{"-buildmode=pie"}},
	{name: "c-shared", flags: []string{"-buildmode=c-shared"}, env: []string{"CGO_ENABLED=1"}, cgo: true},
	{name: "coverpkg-std", flags: []string{"-cover", "-coverpkg=std"}},
	{name: "fips-latest", env: []string{"GOFIPS140=latest"}, fips: true},
	{name: "fips-v1.0.0", env: []string{"GOFIPS140=v1.0.0"}, fips: true},
	{name: "fips-v1.26.0", env: []string{"GOFIPS140=v1.26.0"}, fips: true},
	{name: "boringcrypto", env: []string{"GOEXPERIMENT=boringcrypto", "CGO_ENABLED=1"}, cgo: true, partly: "BoringCrypto"},
}

func wanted(name string, usual bool) bool {
	return usual || *wholeFlag == "all" || slices.Contains(strings.Split(*wholeFlag, ","), name)
}

// A wholeReport is what testdata/whole prints.
type wholeReport struct {
	FIPS           bool
	Early          int
	Drawn          map[string]int
	Curve, Version string
	Std            struct {
		Active bool
		Detail string
	}
	Forked string
}

func TestPatchedProgram(t *testing.T) {
	for _, b := range wholeBuilds {
		t.Run(b.name, func(t *testing.T) {
			if !wanted(b.name, b.usual) {
				t.Skipf("it compiles the standard library again: go test -run %s -whole %s .", t.Name(), b.name)
			}
			if b.cgo {
				if _, err := exec.LookPath("cc"); err != nil {
					cannot(t, "no C compiler: %v", err)
				}
			}
			r := b.run(t, patchedGo(t))
			if want := b.partly == ""; r.Std.Active != want || !strings.Contains(r.Std.Detail, b.partly) {
				t.Errorf("Inspect says %+v", r.Std)
			}
			// What BoringCrypto makes it makes of its own generator.
			want := map[string]int{"rand": 1, "mlkem": 2, "ecdsa": 1, "tls": 4}
			if b.name == "boringcrypto" {
				want = map[string]int{"mlkem": 2}
			}
			for what, least := range want {
				if r.Drawn[what] < least {
					t.Errorf("%s drew %d times from the hook, want %d or more", what, r.Drawn[what], least)
				}
			}
			if r.FIPS != b.fips {
				t.Errorf("FIPS mode is %v", r.FIPS)
			}
		})
	}
}

// run builds testdata/whole and runs it.
func (b *wholeBuild) run(t *testing.T, g goTool) (r wholeReport) {
	t.Helper()
	g.env = append(slices.Clone(g.env), b.env...)
	program := g.build(t, "./testdata/whole", b.flags...)
	var args []string
	env := []string{"GODEBUG=" + b.godebug, "GOCOVERDIR=" + t.TempDir()}
	if slices.Contains(b.flags, "-buildmode=c-shared") {
		if runtime.GOOS != "linux" {
			t.Skip("loads a library into another program by LD_PRELOAD")
		}
		sleep, err := exec.LookPath("sleep")
		if err != nil {
			cannot(t, "no program to load the library into: %v", err)
		}
		env = append(env, "LD_PRELOAD="+program, "CLONERAND_TEST_LIBRARY=1")
		program, args = sleep, []string{"60"}
	}
	if err := json.Unmarshal(output(t, env, program, args...), &r); err != nil {
		t.Fatal(err)
	}
	if r.Version != "TLS 1.3" || r.Curve != "X25519MLKEM768" {
		t.Errorf("the handshake was %s with %s", r.Version, r.Curve)
	}
	if r.Early == 0 {
		t.Error("nobody drew while the packages were initialized")
	}
	if r.Forked != "differ" {
		if runtime.GOOS == "linux" && r.Forked == "repeat" {
			t.Error("parent and child drew the same")
		}
		t.Logf("fork: %s", r.Forked)
	}
	return r
}

// Plain and patched builds share a build cache, and none gets a part of the other.
func TestPlainAndPatchedBuildsInTurn(t *testing.T) {
	b := wholeBuild{name: "default"}
	for i := range 4 {
		if i%2 == 0 {
			if r := b.run(t, plainGo(t)); r.Std.Active || r.Drawn["rand"]+r.Drawn["tls"]+r.Drawn["mlkem"] > 0 {
				t.Errorf("%d: a plain build: %+v", i, r)
			}
		} else if r := b.run(t, patchedGo(t)); !r.Std.Active || r.Drawn["rand"] != 1 {
			t.Errorf("%d: a patched build: %+v", i, r)
		}
	}
}

// Goroutines of a package that is initialized before ours draw all the time. The sleeps are in the
// windows: before the variables of the package, after them, and after the hook is stored. If the hook were
// stored before seeding knows where to draw from, it would draw from itself.
func TestDrawsWhileThePackageIsInitialized(t *testing.T) {
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	overlay := struct{ Replace map[string]string }{make(map[string]string)}
	for name, text := range map[string]string{
		"aaa.go": "package rand\n\nimport \"time\"\n\nvar before = doze()\n\nfunc doze() bool { time.Sleep(100 * time.Millisecond); return true }\n",
		"zzz.go": "package rand\n\nvar after = doze()\n\nfunc init() { doze() }\n",
	} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		overlay.Replace[filepath.Join(here, name)] = file
	}
	text, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, b := range []wholeBuild{
		{name: "default", usual: true},
		{name: "race", flags: []string{"-race"}, env: []string{"CGO_ENABLED=1"}},
	} {
		t.Run(b.name, func(t *testing.T) {
			if !wanted(b.name, b.usual) {
				t.Skip("it compiles the standard library again: -whole race")
			}
			b.flags = append(b.flags, "-overlay", file)
			if r := b.run(t, patchedGo(t)); r.Drawn["rand"] != 1 {
				t.Errorf("%+v", r)
			}
		})
	}
}

// A test that sets the source of package crypto gets what it sets.
func TestSetGlobalRandomOfAPatchedTest(t *testing.T) {
	cmd := patchedGo(t).command("test", "./testdata/whole")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// The standard library's own tests pass with this package behind it: a test file that imports it is
// laid over each package.
func TestStdPassesItsOwnTests(t *testing.T) {
	if !wanted("std", false) {
		t.Skip("it takes minutes: go test -run TestStdPasses -whole std .")
	}
	g := patchedGo(t)
	tree, err := patchedTree()
	if err != nil {
		t.Fatal(err)
	}
	packages := []string{"crypto/rand", "crypto/mlkem", "crypto/ecdsa", "crypto/rsa", "crypto/ed25519", "crypto/ecdh",
		"crypto/x509", "crypto/tls", "crypto/cipher", "crypto/hpke", "crypto/internal/sysrand", "crypto/internal/fips140test"}
	dir := t.TempDir()
	overlay := struct{ Replace map[string]string }{make(map[string]string)}
	for i, p := range packages {
		file := filepath.Join(dir, fmt.Sprint(i, "_test.go"))
		name := filepath.Base(p)
		if name == "fips140test" {
			name = "fipstest"
		}
		text := fmt.Sprintf("package %s_test\n\nimport _ \"github.com/clonerand/rand\"\n", name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		overlay.Replace[filepath.Join(tree, "src", filepath.FromSlash(p), "zz_clonerand_test.go")] = file
	}
	text, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, godebug := range []string{"", "fips140=on"} {
		// In FIPS mode a seeding allocates a dozen small objects, and it is chance whether one falls into
		// the ten Reads of which TestAllocations takes the mean.
		packages, args := packages, []string{"test", "-short", "-overlay", file, "-skip", "^TestAllocations$"}
		if godebug == "" {
			// fips140test looks at the service indicator, which is only minded in FIPS mode.
			packages, args = packages[:len(packages)-1], args[:4]
		}
		cmd := g.command(append(args, packages...)...)
		cmd.Env = append(cmd.Env, "GODEBUG="+godebug, "GOFLAGS=")
		out, err := cmd.CombinedOutput()
		t.Logf("GODEBUG=%s\n%s", godebug, out)
		if err != nil {
			t.Errorf("GODEBUG=%s: %v", godebug, err)
		}
		if n := bytes.Count(out, []byte("ok  \t")); n != len(packages) {
			t.Errorf("GODEBUG=%s: %d packages passed, want %d", godebug, n, len(packages))
		}
	}
}
