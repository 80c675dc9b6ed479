package goroot

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// newRoot makes a folder that looks like a GOROOT.
func newRoot(t *testing.T) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "a Go")
	for name, text := range map[string]string{
		Folder + "/rand.go":      "package sysrand\n\n" + plainRead,
		Folder + "/rand_test.go": "package sysrand_test\n\nfunc Read() {}\n",
		"bin/go":                 "#!/bin/sh\n",
		"go.env":                 "GOTOOLCHAIN=auto",
		".git/HEAD":              "ref",
		"src/fmt/print.go":       "package fmt\n",
		"src/go.mod":             "module std\n",
	} {
		name = filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := os.ReadFile(name)
		rel, _ := filepath.Rel(dir, name)
		all[filepath.ToSlash(rel)] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func sameFile(t *testing.T, a, b string) bool {
	t.Helper()
	x, err := os.Stat(a)
	if err != nil {
		t.Fatal(err)
	}
	y, err := os.Stat(b)
	if err != nil {
		t.Fatal(err)
	}
	return os.SameFile(x, y)
}

func TestTheTreeDiffersInWhatThePatchSays(t *testing.T) {
	root, cache := newRoot(t), filepath.Join(t.TempDir(), "of", "user")
	before := contents(t, root)
	tree, err := Cached(root, "go1.99", cache)
	if err != nil {
		t.Fatal(err)
	}
	want := contents(t, root)
	want[Folder+"/rand.go"] = strings.Replace(want[Folder+"/rand.go"], "func Read(", "func readSystem(", 1)
	want[Folder+"/"+Added] = string(addedText)
	delete(want, ".git/HEAD")
	want["go.env"] = "\n# Added by clonerand: other toolchains are not patched.\nGOTOOLCHAIN=local\n"
	if diff := cmp.Diff(want, contents(t, tree)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(before, contents(t, root)); diff != "" {
		t.Errorf("the original has changed:\n%s", diff)
	}
	real, err := filepath.EvalSymlinks(cache) // the folder for temporary files is a link on macOS
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(filepath.Base(tree), "go1.99-") || filepath.Dir(tree) != real && filepath.Dir(tree) != cache {
		t.Errorf("the tree is %s", tree)
	}
	if !sameFile(t, filepath.Join(root, "src/fmt/print.go"), filepath.Join(tree, "src/fmt/print.go")) {
		t.Error("an unchanged file is no link")
	}
	if sameFile(t, filepath.Join(root, "src/go.mod"), filepath.Join(tree, "src/go.mod")) {
		t.Error("go get in the tree would write to the original")
	}
	if info, err := os.Stat(filepath.Join(tree, "bin/go")); err != nil || info.Mode()&0o100 == 0 && runtime.GOOS != "windows" {
		t.Errorf("the go command cannot be run: %v, %v", info.Mode(), err)
	}
	if again, err := Cached(root, "go1.99", cache); again != tree || err != nil {
		t.Errorf("again: %s, %v", again, err)
	}
	if of, err := Cached(tree, "go1.99", cache); of != tree || err != nil {
		t.Errorf("the tree of the tree: %s, %v", of, err)
	}
	if err := os.WriteFile(filepath.Join(root, "src/fmt/scan.go"), []byte("package fmt\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if other, err := Cached(root, "go1.99", cache); other == tree || err != nil {
		t.Errorf("a GOROOT with another file has the same tree: %v", err)
	}
}

// A folder of a distribution of Go is often a symbolic link to another place.
func TestSymbolicLinksOfTheOriginalAreFollowed(t *testing.T) {
	root := newRoot(t)
	elsewhere := filepath.Join(t.TempDir(), "share")
	if err := os.Rename(filepath.Join(root, "src"), elsewhere); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(elsewhere, filepath.Join(root, "src")); err != nil {
		t.Skip(err)
	}
	// In a sandbox of Bazel and in some stores of packages each file is one.
	file, stored := filepath.Join(elsewhere, "crypto/internal/sysrand/rand.go"), filepath.Join(t.TempDir(), "rand.go")
	if err := errors.Join(os.Rename(file, stored), os.Symlink(stored, file)); err != nil {
		t.Fatal(err)
	}
	tree, err := Cached(root, "go1.99", filepath.Join(t.TempDir(), "cache"))
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(filepath.Join(tree, "src")); err != nil || !info.IsDir() {
		t.Errorf("src is %v, %v", info.Mode(), err)
	}
	if _, err := os.Stat(filepath.Join(elsewhere, "crypto/internal/sysrand", Added)); err == nil {
		t.Error("the patch went through a link")
	}
	if text, err := os.ReadFile(stored); err != nil || !strings.Contains(string(text), "func Read(") {
		t.Errorf("the patch went through a link: %s, %v", text, err)
	}
}

func TestManyAtOnceGetOneTree(t *testing.T) {
	root, cache := newRoot(t), filepath.Join(t.TempDir(), "cache")
	var group sync.WaitGroup
	for range 10 {
		group.Go(func() {
			tree, err := Cached(root, "go1.99", cache)
			if err != nil {
				t.Error(err)
			} else if text, err := os.ReadFile(filepath.Join(tree, filepath.FromSlash(Folder), Added)); !bytes.Equal(text, addedText) {
				t.Errorf("the tree is not whole: %v", err)
			}
		})
	}
	group.Wait()
	trees, _ := filepath.Glob(filepath.Join(cache, "go1.99-*"))
	if len(trees) != 1 {
		t.Errorf("in the cache are %q", trees)
	}
}

func TestADamagedTreeIsMadeAgain(t *testing.T) {
	root, cache := newRoot(t), filepath.Join(t.TempDir(), "cache")
	tree, err := Cached(root, "go1.99", cache)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(tree, filepath.FromSlash(Folder), "rand.go")
	if err := os.WriteFile(file, []byte("package sysrand\n\n"+plainRead), 0o644); err != nil {
		t.Fatal(err)
	}
	// A process was killed after it had put another damaged tree aside.
	if err := os.Mkdir(tree+unfinished, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(tree+unfinished, "file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if again, err := Cached(root, "go1.99", cache); again != tree || err != nil {
		t.Fatal(again, err)
	}
	if text, _ := os.ReadFile(file); !bytes.Contains(text, []byte("func readSystem(")) {
		t.Errorf("it is still %s", text)
	}
	if left, _ := filepath.Glob(filepath.Join(cache, "*"+unfinished)); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestTreesThatNobodyUsesAreRemoved(t *testing.T) {
	root, cache := newRoot(t), filepath.Join(t.TempDir(), "cache")
	if _, err := Cached(root, "go1.99", cache); err != nil {
		t.Fatal(err)
	}
	for name, age := range map[string]time.Duration{
		"go1.1-old": unused + time.Hour, "go1.2-new": unused - time.Hour,
		"go1.3-1" + unfinished: 2 * time.Hour, "go1.4-2" + unfinished: time.Minute,
	} {
		dir := filepath.Join(cache, name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		then := time.Now().Add(-age)
		if err := os.Chtimes(dir, then, then); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Cached(root, "go1.98", cache); err != nil {
		t.Fatal(err)
	}
	var left []string
	entries, _ := os.ReadDir(cache)
	for _, e := range entries {
		name, _, _ := strings.Cut(e.Name(), "-")
		left = append(left, name)
	}
	want := []string{"go1.2", "go1.4", "go1.98", "go1.99"}
	if runtime.GOOS != "windows" { // there a lock says that nobody is at work on go1.4
		want = []string{"go1.2", "go1.98", "go1.99", "lock"}
	}
	if diff := cmp.Diff(want, left); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// On another file system there can be no links.
func TestWhereThereAreNoLinksThereAreCopies(t *testing.T) {
	root := newRoot(t)
	cache, err := os.MkdirTemp("/dev/shm", "clonerand")
	if err != nil {
		t.Skip("no second file system:", err)
	}
	defer os.RemoveAll(cache)
	if os.Link(filepath.Join(root, "go.env"), filepath.Join(cache, "link")) == nil {
		t.Skip("/dev/shm is the same file system")
	}
	tree, err := Cached(root, "go1.99", cache)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(contents(t, root)["src/fmt/print.go"], contents(t, tree)["src/fmt/print.go"]); diff != "" {
		t.Error(diff)
	}
	if info, err := os.Stat(filepath.Join(tree, "bin/go")); err != nil || info.Mode()&0o100 == 0 {
		t.Errorf("%v, %v", info, err)
	}
}

func TestCopySharesNothing(t *testing.T) {
	root, dir := newRoot(t), filepath.Join(t.TempDir(), "in", "an image")
	if err := Copy(t.Context(), root, dir); err != nil {
		t.Fatal(err)
	}
	if sameFile(t, filepath.Join(root, "src/fmt/print.go"), filepath.Join(dir, "src/fmt/print.go")) {
		t.Error("the copy has a file of the original")
	}
	if got := contents(t, dir)[Folder+"/"+Added]; got != string(addedText) {
		t.Errorf("not patched: %q", got)
	}
	if err := Copy(t.Context(), root, dir); err == nil || !strings.Contains(err.Error(), "is not empty") {
		t.Errorf("into a folder with files: %v", err)
	}
	empty := t.TempDir()
	if err := Copy(t.Context(), root, empty); err != nil {
		t.Errorf("into an empty folder: %v", err)
	}
}

func TestACopyThatIsStoppedLeavesNothing(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stop()
	parent := t.TempDir()
	if err := Copy(ctx, newRoot(t), filepath.Join(parent, "go")); err != context.Canceled {
		t.Errorf("it says %v", err)
	}
	if left, err := os.ReadDir(parent); len(left) > 0 || err != nil {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// A tree in what it is made of would be copied into itself.
func TestATreeInTheGorootIsRefused(t *testing.T) {
	root := newRoot(t)
	before := contents(t, root)
	link := filepath.Join(t.TempDir(), "link")
	dirs := []string{root, filepath.Join(root, "new"), filepath.Join(root, "src", "of", "new")}
	if os.Symlink(root, link) == nil {
		dirs = append(dirs, filepath.Join(link, "src", "new"))
	}
	for _, dir := range dirs {
		for _, err := range []error{Copy(t.Context(), root, dir), second(Cached(root, "go1.99", dir))} {
			if err == nil || dir != root && !strings.Contains(err.Error(), "lies in the GOROOT") {
				t.Errorf("%s: %v", dir, err)
			}
		}
	}
	if diff := cmp.Diff(before, contents(t, root)); diff != "" {
		t.Errorf("the original has changed:\n%s", diff)
	}
}

func second(_ string, err error) error { return err }
