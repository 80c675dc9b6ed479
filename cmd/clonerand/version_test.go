package main

import (
	"bytes"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
)

func TestTheVersionNamesWhatItWasBuiltFrom(t *testing.T) {
	platform := " " + runtime.GOOS + "/" + runtime.GOARCH + "\n"
	settings := func(modified string) []debug.BuildSetting {
		return []debug.BuildSetting{{Key: "vcs", Value: "git"}, {Key: "vcs.revision", Value: "0123abcd"},
			{Key: "vcs.time", Value: "2026-11-26T04:00:00Z"}, {Key: "vcs.modified", Value: modified}}
	}
	for _, c := range []struct {
		version  string
		settings []debug.BuildSetting
		want     string
	}{
		{"v1.2.3", nil, "clonerand v1.2.3 (example.org/m)\ngo1.99" + platform},
		{"(devel)", nil, "clonerand (devel) (example.org/m)\n" +
			"revision unknown: built with -buildvcs=false, or where go finds no checkout\ngo1.99" + platform},
		{"v1.2.4-0.2026", settings("false"), "clonerand v1.2.4-0.2026 (example.org/m)\n" +
			"git revision 0123abcd of 2026-11-26T04:00:00Z\ngo1.99" + platform},
		{"v1.2.4-0.2026+dirty", settings("true"), "clonerand v1.2.4-0.2026+dirty (example.org/m)\n" +
			"git revision 0123abcd of 2026-11-26T04:00:00Z, and changes that are not committed\ngo1.99" + platform},
	} {
		var got bytes.Buffer
		printVersion(&got, &debug.BuildInfo{GoVersion: "go1.99", Main: debug.Module{Path: "example.org/m", Version: c.version}, Settings: c.settings})
		if got.String() != c.want {
			t.Errorf("%s:\n%swant\n%s", c.version, &got, c.want)
		}
	}
}

func TestTheRealProgramHasAVersion(t *testing.T) {
	if os.Getenv("CLONERAND_TEST_EMULATOR") != "" {
		t.Skip("user-mode emulation: the program that is built here is one for this machine's own CPU")
	}
	out, err := exec.Command(program(t), "version").CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "clonerand ") || !strings.Contains(string(out), "(github.com/clonerand/rand)\n") ||
		!strings.HasSuffix(string(out), "\n"+runtime.Version()+" "+runtime.GOOS+"/"+runtime.GOARCH+"\n") {
		t.Errorf("%v\n%s", err, out)
	}
}
