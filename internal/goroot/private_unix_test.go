//go:build unix

package goroot

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Somebody else could have put a GOROOT there, whose go command would be run.
func TestAFolderThatOthersCouldFillIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(cache string) error
		why     string // "" where nothing is wrong
	}{
		"not there":   {func(string) error { return nil }, ""},
		"our own":     {func(d string) error { return os.Mkdir(d, 0o700) }, ""},
		"open to all": {func(d string) error { return mkdir(d, 0o777) }, "mode 0777"},
		"readable":    {func(d string) error { return mkdir(d, 0o750) }, "mode 0750"},
		"a file":      {func(d string) error { return os.WriteFile(d, nil, 0o600) }, "is not a folder"},
		"a link": {func(d string) error {
			if err := os.Mkdir(d+" elsewhere", 0o700); err != nil {
				return err
			}
			return os.Symlink(d+" elsewhere", d)
		}, "is not a folder"},
		"above it open to all": {func(d string) error { return os.Chmod(filepath.Dir(d), 0o777) }, "which others can write to"},
		"above it sticky":      {func(d string) error { return os.Chmod(filepath.Dir(d), 0o777|os.ModeSticky) }, ""},
		"of another user":      {func(d string) error { return mkdirOf(d, 12345) }, "belongs to user 12345"},
		"above it of another user, with a folder to make": {func(d string) error {
			return errors.Join(os.Remove(filepath.Dir(d)), os.Chown(filepath.Dir(filepath.Dir(d)), 12345, -1))
		}, "which belongs to user 12345"},
		"above it of another user": {func(d string) error { return os.Chown(filepath.Dir(d), 12345, -1) },
			"which belongs to user 12345"},
	} {
		t.Run(name, func(t *testing.T) {
			if strings.Contains(name, "of another user") && os.Geteuid() != 0 {
				t.Skip("only root can give a folder away")
			}
			root := newRoot(t)
			parent := filepath.Join(t.TempDir(), "parent")
			if err := os.Mkdir(parent, 0o755); err != nil {
				t.Fatal(err)
			}
			cache := filepath.Join(parent, "cache")
			if err := c.prepare(cache); err != nil {
				t.Fatal(err)
			}
			folders := func() []string {
				a, _ := filepath.Glob(filepath.Join(filepath.Dir(parent), "*"))
				b, _ := filepath.Glob(filepath.Join(parent, "*"))
				return append(a, b...)
			}
			before := folders()
			tree, err := Cached(root, "go1.99", cache)
			if c.why == "" {
				if info, _ := os.Stat(cache); err != nil || info.Mode().Perm() != 0o700 {
					t.Errorf("%v, %v", err, info)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.why) || !strings.Contains(err.Error(), "XDG_CACHE_HOME") || tree != "" {
				t.Errorf("%q, %v, want %q", tree, err, c.why)
			}
			if made, _ := filepath.Glob(filepath.Join(cache, "go1.99*")); len(made) > 0 {
				t.Errorf("it made %q", made)
			}
			if after := folders(); !slices.Equal(before, after) {
				t.Errorf("there were %q, and now there are %q", before, after)
			}
		})
	}
}

// A link on the way may be somebody else's, who can lead it elsewhere once the folder was looked at.
func TestThePathOfATreeGoesThroughNoLink(t *testing.T) {
	root, real := newRoot(t), t.TempDir()
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(real, link); err != nil {
		t.Fatal(err)
	}
	tree, err := Cached(root, "go1.99", filepath.Join(link, "cache"))
	if err != nil {
		t.Fatal(err)
	}
	if want, err := filepath.EvalSymlinks(filepath.Join(real, "cache")); err != nil || filepath.Dir(tree) != want {
		t.Errorf("the tree is %s, want it in %s (%v)", tree, want, err)
	}
}

// Many a container has a home that is not the user's.
func TestAFolderThatCannotBeMade(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Cached(newRoot(t), "go1.99", filepath.Join(file, ".cache", "clonerand")); err == nil || !strings.Contains(err.Error(), "XDG_CACHE_HOME") {
		t.Errorf("the error does not say what to do: %v", err)
	}
	cache := filepath.Join(t.TempDir(), "cache")
	if err := os.MkdirAll(filepath.Join(cache, "lock"), 0o700); err != nil { // as on a read-only file system
		t.Fatal(err)
	}
	if _, err := Cached(newRoot(t), "go1.99", cache); err == nil || !strings.Contains(err.Error(), "XDG_CACHE_HOME") {
		t.Errorf("without a lock: the error does not say what to do: %v", err)
	}
}

// The primary group is often one of all users.
func TestWhoseAGroupIs(t *testing.T) {
	for _, c := range []struct {
		mode        os.FileMode
		group, user int
		others      bool
	}{
		{0o755, 100, 1000, false}, {0o775, 1000, 1000, false}, {0o775, 0, 1000, false},
		{0o775, 100, 1000, true}, {0o757, 1000, 1000, true},
	} {
		if got := othersWrite(c.mode, c.group, c.user); got != c.others {
			t.Errorf("mode %#o, group %d, user %d: %v", c.mode, c.group, c.user, got)
		}
	}
}

func mkdir(d string, mode os.FileMode) error {
	if err := os.Mkdir(d, 0o700); err != nil {
		return err
	}
	return os.Chmod(d, mode) // Mkdir minds the umask
}

func mkdirOf(d string, user int) error {
	if err := os.Mkdir(d, 0o700); err != nil {
		return err
	}
	return os.Chown(d, user, -1)
}
