package rand

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"regexp"
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

var goVersion = regexp.MustCompile(`^go1\.\d+`)

var tables = regexp.MustCompile(`(?s)<!-- measured with (go1\.\d+) -->\n(.*?)<!-- end of go1\.\d+ -->\n`)

// A column of the table is a run of the program: with the standard library as it is or
// patched, and with these settings of GODEBUG.
type column struct {
	patched bool
	godebug string
	brief   bool // in the README, too
}

var columns = []column{
	{brief: true},
	{godebug: "cryptocustomrand=1", brief: true},
	{godebug: "fips140=on"},
	{godebug: "fips140=on,cryptocustomrand=1"},
	{godebug: "fips140=only"},
	{godebug: "fips140=only,cryptocustomrand=1"},
	{patched: true, brief: true},
	{patched: true, godebug: "fips140=on", brief: true},
	{patched: true, godebug: "fips140=only"},
}

func (c column) heading() string {
	settings := ""
	if c.godebug != "" {
		settings = "`" + strings.ReplaceAll(c.godebug, ",", "` `") + "`"
	}
	switch {
	case c.patched:
		return strings.TrimSpace("`clonerand go` " + settings)
	case settings == "":
		return "default"
	default:
		return settings
	}
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
	Patched            string
}

// cell is one word where it makes no difference whether our Reader is passed, or
// stands in crypto/rand.Reader, from where the caller passes it.
func (r measuredRow) cell() string {
	if r.Patched != "" {
		return r.Patched
	}
	if r.Argument == r.Replaced || r.Argument == "takes none" {
		return r.Replaced
	}
	return fmt.Sprintf("passed: %s, replaced: %s", r.Argument, r.Replaced)
}

func TestDocumentsSayWhichFunctionsDrawFromReader(t *testing.T) {
	programs := map[bool]string{false: plainGo(t).build(t, "./testdata/replace")}
	programs[true] = patchedGo(t).build(t, "./testdata/replace", "-tags", "patched")
	var measured []measurement
	for _, c := range columns {
		measured = append(measured, measure(t, programs[c.patched], c.godebug))
	}
	version := goVersion.FindString(measured[0].Go)
	for _, name := range tableIn {
		table := tableOf(measured, name != tableIn[0])
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
			compareStable(t, name, measured[0], documented[0][2], table)
			unknownRelease(t, version)
		}
	}
}

// unknownRelease says how to measure with a version of Go that the documents know nothing of.
// Somebody who has just a newer Go is not to blame; in CI it is an error.
func unknownRelease(t *testing.T, version string) {
	t.Helper()
	report := t.Logf
	if os.Getenv("CI") == "true" {
		report = t.Errorf
	}
	report("%s has no table for %s, so only what no version may change was compared; to measure it and add one: go test -run TestDocumentsSay -update-table .",
		strings.Join(tableIn, " and "), version)
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
	byLine := measure(t, plainGo(t).build(t, "./testdata/replace", "-tags", "customrand"), "")
	byEnvironment := measure(t, plainGo(t).build(t, "./testdata/replace"), "cryptocustomrand=1")
	if diff := cmp.Diff(byEnvironment, byLine); diff != "" {
		t.Errorf("(-environment +line):\n%s", diff)
	}
}

// With the two lines of docs/replace.md, all that can take a reader draws all that it
// needs from ours. Who thinks of a function that does not has to put it here.
func TestTwoLinesReplaceWhereverAReaderCanBePassed(t *testing.T) {
	except := map[string]map[string]string{
		"go1.26": {"tls server, Config.Rand set": "partly"}, // ML-KEM takes no reader
		"go1.27": {"tls server, Config.Rand set": "partly", "tls client, Config.Rand set": "partly"},
	}
	m := measure(t, plainGo(t).build(t, "./testdata/replace", "-tags", "customrand"), "")
	version := goVersion.FindString(m.Go)
	if except[version] == nil {
		unknownRelease(t, version)
	}
	for _, r := range m.Rows {
		if except[version] == nil && !r.Stable {
			continue
		}
		want := "yes"
		if e := except[version][r.Name]; e != "" {
			want = e
		}
		if takes := r.Argument != "takes none"; takes && r.Replaced != want && r.Replaced != "draws none" {
			t.Errorf("%s: %s, want %s", r.Name, r.Replaced, want)
		}
	}
}

// In a patched program all draws come from here, but those of the runtime.
func TestPatchedProgramDrawsFromHere(t *testing.T) {
	program := patchedGo(t).build(t, "./testdata/replace", "-tags", "patched")
	for godebug, want := range map[string]string{"": "yes", "fips140=on": "mixed in", "fips140=only": "mixed in"} {
		for _, r := range measure(t, program, godebug).Rows {
			switch {
			case r.Patched == want || r.Patched == "draws none":
			case r.Patched == "no" && r.Name == "math/rand/v2.Uint64": // the runtime's generator
			case r.Patched == "not allowed" && godebug == "fips140=only":
			default:
				t.Errorf("GODEBUG=%s: %s: %s, want %s", godebug, r.Name, r.Patched, want)
			}
		}
	}
}

func measure(t *testing.T, program, godebug string) (m measurement) {
	t.Helper()
	if err := json.Unmarshal(output(t, []string{"GODEBUG=" + godebug}, program), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func tableOf(measured []measurement, brief bool) string {
	var b strings.Builder
	row := func(name, takes string, cell func(i int) string) {
		b.WriteString("| " + name + " | " + takes + " |")
		for i, c := range columns {
			if c.brief || !brief {
				b.WriteString(" " + cell(i) + " |")
			}
		}
		b.WriteString("\n")
	}
	row("function", "takes a reader", func(i int) string { return columns[i].heading() })
	row("---", "---", func(int) string { return "---" })
	for n, r := range measured[0].Rows {
		takes := "yes"
		if r.Argument == "takes none" {
			takes = "no"
		}
		row("`"+r.Name+"`", takes, func(i int) string { return measured[i].Rows[n].cell() })
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
