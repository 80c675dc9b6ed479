package goroot

import (
	"bytes"
	"errors"
	"go/format"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const plainRead = "// Read reads.\nfunc Read(b []byte) {\n\tb[0] = 4\n}\n"

func TestPatchRenamesOneFunctionAndAddsOneFile(t *testing.T) {
	files := map[string][]byte{
		"rand.go":  []byte("// Package sysrand is.\npackage sysrand\n\ntype r struct{}\n\nfunc (r) Read(b []byte) { Reader(b) }\n\n" + plainRead),
		"other.go": []byte("package sysrand\n\nfunc Reader(b []byte) { Read(b) }\n"),
	}
	changed, err := patch(files)
	if err != nil || len(changed) != 2 || changed[0].Name != "rand.go" || changed[1].Name != Added || changed[1].Old != nil {
		t.Fatalf("%v, %+v", err, changed)
	}
	want := strings.Replace(string(files["rand.go"]), "func Read(", "func readSystem(", 1)
	if got := string(changed[0].New); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

func TestPatchRefusesWhatItDoesNotKnow(t *testing.T) {
	for name, c := range map[string]struct{ text, why string }{
		"no Read":           {"func read(b []byte) {}\n", "found 0"},
		"only a method":     {"type T int\n\nfunc (T) Read(b []byte) {}\n", "found 0"},
		"two":               {plainRead + plainRead, "found 2"},
		"a result":          {"func Read(b []byte) error { return nil }\n", "func Read(b []byte) error"},
		"another argument":  {"func Read(b *[]byte) {}\n", "func Read(b *[]byte)"},
		"two arguments":     {"func Read(a, b []byte) {}\n", "func Read(a, b []byte)"},
		"type parameters":   {"func Read[T any](b []byte) {}\n", "func Read[T any](b []byte)"},
		"without a body":    {"func Read(b []byte)\n", "func Read(b []byte)"},
		"a variable":        {"var Read = func(b []byte) {}\n", "Read is no function"},
		"readSystem exists": {plainRead + "func readSystem() {}\n", "declares readSystem"},
		"replaced exists":   {plainRead + "var a, replaced int\n", "declares replaced"},
		"system is a type":  {plainRead + "type system int\n", "declares system"},
		"no Go":             {"func Read(b []byte) {\n", "expected"},
	} {
		changed, err := patch(map[string][]byte{"rand.go": []byte("package sysrand\n\n" + c.text)})
		if err == nil || !strings.Contains(err.Error(), c.why) || changed != nil {
			t.Errorf("%s: %v, want %q", name, err, c.why)
		}
	}
	if _, err := patch(map[string][]byte{Added: []byte("package sysrand\n")}); err == nil || errors.Is(err, ErrPatched) {
		t.Errorf("patched in another way: %v", err)
	}
	if _, err := Patch(t.TempDir()); err == nil || !strings.Contains(err.Error(), "no GOROOT that can be patched") {
		t.Errorf("an empty folder: %v", err)
	}
}

// The GOROOT that these tests run with is patched, and then known as such.
func TestPatchKnowsThisGo(t *testing.T) {
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Skip("no go command:", err)
	}
	changed, err := Patch(strings.TrimSpace(string(out)))
	if errors.Is(err, ErrPatched) {
		t.Skip("the tests run in a patched tree")
	}
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string][]byte)
	for _, f := range changed {
		if pretty, err := format.Source(f.New); err != nil || !bytes.Equal(pretty, f.New) {
			t.Errorf("%s is not formatted: %v", f.Name, err)
		}
		files[strings.TrimPrefix(f.Name, Folder+"/")] = f.New
	}
	if _, err := patch(files); !errors.Is(err, ErrPatched) {
		t.Errorf("a second time: %v", err)
	}
}

// The documents say how many lines the patch adds.
func TestTheDocumentsCountTheLines(t *testing.T) {
	want := strconv.Itoa(bytes.Count(addedText, []byte("\n")))
	for name, form := range map[string]string{"README.md": "One line changes and %s are added", "docs/whole.md": "1 line changed and %s added"} {
		text, err := os.ReadFile(filepath.Join("..", "..", name))
		if err != nil || !strings.Contains(string(text), strings.Replace(form, "%s", want, 1)) {
			t.Errorf("%s does not say that %s lines are added: %v", name, want, err)
		}
	}
}
