package rand_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var updateTable = flag.Bool("update-table", false, "write the table of docs/replace.md as measured with this version of Go")

// The documents with the table. It stands between two comments that name a minor
// version of Go; there may be a table for each of several.
var tableIn = []string{"docs/replace.md", "README.md"}

const tableForm = "<!-- measured with %s -->\n%s<!-- end of %[1]s -->\n"

var tables = regexp.MustCompile(`(?s)<!-- measured with (go1\.\d+) -->\n(.*?)<!-- end of go1\.\d+ -->\n`)

// settings are the columns of the table, as GODEBUG says them.
var settings = []string{
	"", "cryptocustomrand=1",
	"fips140=on", "fips140=on,cryptocustomrand=1",
	"fips140=only", "fips140=only,cryptocustomrand=1",
}

// A measurement is what testdata/replace prints.
type measurement struct {
	Go   string
	Rows []measuredRow
}

type measuredRow struct {
	Name               string
	Stable             bool
	Argument, Replaced string
}

// cell is one word where it makes no difference whether our Reader is passed, or
// stands in crypto/rand.Reader, from where the caller passes it.
func (r measuredRow) cell() string {
	if r.Argument == r.Replaced || r.Argument == "takes none" {
		return r.Replaced
	}
	return fmt.Sprintf("passed: %s, replaced: %s", r.Argument, r.Replaced)
}

func TestDocumentsSayWhichFunctionsDrawFromReader(t *testing.T) {
	program := buildReplace(t)
	var columns []measurement
	for _, s := range settings {
		columns = append(columns, measure(t, program, s))
	}
	table := tableOf(columns)
	version := regexp.MustCompile(`^go1\.\d+`).FindString(columns[0].Go)
	for _, name := range tableIn {
		text, err := os.ReadFile(name)
		documented := tables.FindAllStringSubmatch(string(text), -1)
		switch i := slices.IndexFunc(documented, func(d []string) bool { return d[1] == version }); {
		case err != nil && name == tableIn[0]:
			t.Error(err)
		case len(documented) == 0 && name == tableIn[0]:
			t.Errorf("%s holds no table", name)
		case len(documented) == 0:
		case *updateTable:
			writeTable(t, name, string(text), version, table)
		case i >= 0:
			if diff := cmp.Diff(strings.Split(documented[i][2], "\n"), strings.Split(table, "\n")); diff != "" {
				t.Errorf("%s is not what was measured with %s; go test -run %s -update-table mends it (-documented +measured):\n%s", name, version, t.Name(), diff)
			}
		default:
			compareStable(t, name, columns[0], documented[0][2], table)
			report := t.Logf
			if os.Getenv("CI") == "true" {
				report = t.Errorf // there the documents are to be brought up to date
			}
			report("%s has a table for %s and none for %s, so only what no version may change was compared; go test -run %s -update-table adds one",
				name, documented[0][1], version, t.Name())
		}
	}
}

// compareStable compares the rows that are the same in all versions of Go.
func compareStable(t *testing.T, name string, m measurement, documented, measured string) {
	stable := func(table string) (lines []string) {
		for line := range strings.Lines(table) {
			if slices.ContainsFunc(m.Rows, func(r measuredRow) bool {
				return r.Stable && strings.HasPrefix(line, "| `"+r.Name+"` |")
			}) {
				lines = append(lines, line)
			}
		}
		return lines
	}
	if diff := cmp.Diff(stable(documented), stable(measured)); diff != "" {
		t.Errorf("%s: what no version of Go may change (-documented +measured):\n%s", name, diff)
	}
}

// A //go:debug line in the program does what the environment does.
func TestGoDebugLineDoesWhatTheEnvironmentDoes(t *testing.T) {
	byLine := measure(t, buildReplace(t, "-tags", "customrand"), "")
	byEnvironment := measure(t, buildReplace(t), "cryptocustomrand=1")
	if diff := cmp.Diff(byEnvironment, byLine); diff != "" {
		t.Errorf("(-environment +line):\n%s", diff)
	}
}

// With the two lines of docs/replace.md, all that can take a reader draws all that it
// needs from ours. Who thinks of a function that does not has to put it here.
func TestTwoLinesReplaceWhereverAReaderCanBePassed(t *testing.T) {
	except := map[string]string{
		"tls server, Config.Rand set": "partly", // ML-KEM takes no reader
	}
	for _, r := range measure(t, buildReplace(t, "-tags", "customrand"), "").Rows {
		want := "yes"
		if e := except[r.Name]; e != "" {
			want = e
		}
		if takes := r.Argument != "takes none"; takes && r.Replaced != want && r.Replaced != "draws none" {
			t.Errorf("%s: %s, want %s", r.Name, r.Replaced, want)
		}
	}
}

// buildReplace builds testdata/replace for the system under test.
func buildReplace(t *testing.T, flags ...string) (program string) {
	t.Helper()
	goTool, err := exec.LookPath("go")
	if err != nil {
		cannot(t, "no go command to build testdata/replace with: %v", err)
	}
	program = filepath.Join(t.TempDir(), "replace.exe") // a name that every system runs
	build := exec.Command(goTool, append(append([]string{"build", "-o", program}, flags...), "./testdata/replace")...)
	build.Env = append(os.Environ(), "GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH, "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return program
}

func measure(t *testing.T, program, godebug string) (m measurement) {
	t.Helper()
	run := exec.Command(program)
	run.Env = append(os.Environ(), "GODEBUG="+godebug)
	run.Stderr = new(strings.Builder)
	out, err := run.Output()
	if run.Process == nil && os.Getenv("CLONERAND_TEST_EMULATOR") != "" {
		t.Skip("user-mode emulation: the kernel starts no program of another CPU")
	}
	if run.Process == nil {
		cannot(t, "the system does not run a %s/%s program: %v", runtime.GOOS, runtime.GOARCH, err)
	}
	if err != nil {
		t.Fatalf("GODEBUG=%s: %v: %s", godebug, err, run.Stderr)
	}
	if err := json.Unmarshal(out, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// cannot skips a test that this machine can not run. In CI it has to run.
func cannot(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

func tableOf(columns []measurement) string {
	var b strings.Builder
	b.WriteString("| function | takes a reader |")
	for _, s := range settings {
		if s == "" {
			b.WriteString(" default |")
		} else {
			b.WriteString(" `" + strings.ReplaceAll(s, ",", "` `") + "` |")
		}
	}
	b.WriteString("\n|---|---|" + strings.Repeat("---|", len(settings)) + "\n")
	for i, r := range columns[0].Rows {
		takes := "yes"
		if r.Argument == "takes none" {
			takes = "no"
		}
		fmt.Fprintf(&b, "| `%s` | %s |", r.Name, takes)
		for _, c := range columns {
			b.WriteString(" " + c.Rows[i].cell() + " |")
		}
		b.WriteString("\n")
	}
	return b.String()
}

// writeTable puts the table for a version in its place, or before the others.
func writeTable(t *testing.T, name, text, version, table string) {
	written, found := "", false
	rest := text
	for _, at := range tables.FindAllStringSubmatchIndex(text, -1) {
		if text[at[2]:at[3]] == version {
			written, rest, found = text[:at[0]], text[at[1]:], true
		}
	}
	if !found {
		at := tables.FindStringIndex(text)
		written, rest = text[:at[0]], "\n"+text[at[0]:]
	}
	written += fmt.Sprintf(tableForm, version, table) + rest
	if err := os.WriteFile(name, []byte(written), 0o644); err != nil {
		t.Fatal(err)
	}
}
