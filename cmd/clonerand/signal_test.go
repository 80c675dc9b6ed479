package main

import (
	"bytes"
	"crypto/sha512"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestIdentityIsPaddedOrHashed(t *testing.T) {
	long := bytes.Repeat([]byte{7}, 57)
	sum := sha512.Sum512(long)
	for _, c := range []struct{ digits, want string }{
		{"00ff", "\x00\xff"},
		{"00FF", "\x00\xff"},
		{"12345678-9abc-def0-1234-56789abcdef0", "\x12\x34\x56\x78\x9a\xbc\xde\xf0\x12\x34\x56\x78\x9a\xbc\xde\xf0"},
		{"02:42:ac", "\x02\x42\xac"},
		{strings.Repeat("07", 56), string(long[:56])},
		{strings.Repeat("07", 57), string(sum[:56])},
	} {
		id, err := hexIdentity(c.digits)
		if err != nil {
			t.Errorf("-id %s: %v", c.digits, err)
		}
		got := fitIdentity(id)
		want := c.want + strings.Repeat("\x00", 56-len(c.want))
		if diff := cmp.Diff([]byte(want), got[:]); diff != "" {
			t.Errorf("-id %s (-want +got):\n%s", c.digits, diff)
		}
	}
}

func TestIdentityFile(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct {
		content string
		why     string
	}{
		"uuid":  {"4c4c4544-0042\n", ""},
		"large": {strings.Repeat("x", 1<<20), ""},
		"more":  {strings.Repeat("x", 1<<20+1), "longer than 1 MiB"},
		"empty": {"", "is empty"},
		"blank": {" \n", "is empty"},
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		id, err := fileIdentity(path)
		if c.why == "" && (err != nil || string(id) != c.content) || c.why != "" && (err == nil || !strings.Contains(err.Error(), c.why)) {
			t.Errorf("%s: %d bytes, %v, want %q", name, len(id), err, c.why)
		}
	}
	if _, err := fileIdentity(dir); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a folder: %v", err)
	}
	if _, err := fileIdentity(filepath.Join(dir, "missing")); err == nil {
		t.Error("a missing file has an identity")
	}
}

func TestTheFileNamedByTheArgumentThenTheEnvironmentThenTheDefault(t *testing.T) {
	for _, c := range []struct {
		argument, environment string
		want, why             string
	}{
		{"", "", "/run/clonerand/generation", ""},
		{"", "/some/file", "/some/file", ""},
		{"/mine", "/some/file", "/mine", ""},
		{"/mine", "off", "/mine", ""},
		{"", "off", "", "off leaves the generation file out"},
		{"", "generation", "", `"generation" is no absolute path`},
		{"mine", "/some/file", "", `"mine" is no absolute path`},
		{"./off", "", "", `"./off" is no absolute path`},
		{"off", "", "", "off leaves the generation file out"},
	} {
		t.Setenv("CLONERAND_GENERATION", c.environment)
		var args []string
		if c.argument != "" {
			args = []string{c.argument}
		}
		got, err := generationFile(args)
		if got != c.want || (err == nil) != (c.why == "") || err != nil && !strings.Contains(err.Error(), c.why) {
			t.Errorf("argument %q, environment %q: %q, %v, want %q, %s", c.argument, c.environment, got, err, c.want, c.why)
		}
	}
	if got, err := generationFile([]string{""}); err == nil {
		t.Errorf("an empty argument names %q", got)
	}
}
