package main

import (
	"bytes"
	"errors"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/clonerand/rand"
	"github.com/google/go-cmp/cmp"
)

func TestProtectionsAreAnAlignedTableWithMends(t *testing.T) {
	var out bytes.Buffer
	err := printProtections(&out, []rand.Protection{
		{Name: "fork", Active: true, Detail: "a page that the kernel wipes"},
		{Name: "generation file", Detail: "/run/clonerand/generation: not there", Mend: "clonerand signal init"},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `fork             yes  a page that the kernel wipes
generation file  no   /run/clonerand/generation: not there
                      mend: clonerand signal init
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("another table (-want +got):\n%s", diff)
	}
}

func TestOnlyBytesThatDifferAreSuccess(t *testing.T) {
	fill := func(shift int) (f forkedBytes) {
		for i := range f.bytes {
			f.bytes[i] = byte((i + shift) * (i + shift) >> 3)
		}
		return f
	}
	all, other := fill(0), forkedBytes{pid: 2}
	for i := range other.bytes {
		other.bytes[i] = byte(i*i*i>>5) ^ 0x5a
	}
	one := other
	copy(one.bytes[500:], all.bytes[37:53]) // 16 bytes at no common offset
	for name, c := range map[string]struct {
		child forkedBytes
		equal bool
	}{"equal": {all, true}, "shifted by one": {fill(1), true}, "16 bytes in common": {one, true}, "different": {other, false}} {
		var stdout bytes.Buffer
		err := reportFork(nil, &all, &c.child, &stdout)
		if (err != nil) != c.equal || strings.Contains(stdout.String(), "They differ") == c.equal {
			t.Errorf("%s: %v\n%s", name, err, &stdout)
		}
	}
}

// A child that is slow, or hangs, says nothing about its bytes: neither success nor the status of equal bytes.
func TestAChildThatDoesNotAnswerIsNoComparison(t *testing.T) {
	var parent, child forkedBytes
	err := forkAndRead(&parent, &child, 0)
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip("no raw fork on", runtime.GOOS)
	}
	var stdout, stderr bytes.Buffer
	status := exitCode(reportFork(err, &parent, &child, &stdout), &stderr)
	if status != 3 || stdout.Len() > 0 || !strings.Contains(stderr.String(), "nothing was compared") {
		t.Errorf("status %d, %s%s", status, &stdout, &stderr)
	}
}

// The real program, many times: it forks, shows both sides, and they differ.
func TestTheReportForksAndShowsBothSides(t *testing.T) {
	for range 20 {
		out, err := exec.Command(program(t)).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if strings.Contains(string(out), "cannot fork itself") {
			t.Skip("no raw fork on", runtime.GOOS)
		}
		heads := regexp.MustCompile(`parent, process (\d+) +child, process (\d+)`).FindSubmatch(out)
		rows := regexp.MustCompile(`(?m)^([0-9a-f]{32})  ([0-9a-f]{32})$`).FindAllSubmatch(out, -1)
		if heads == nil || bytes.Equal(heads[1], heads[2]) || len(rows) != 4 {
			t.Fatalf("no two processes side by side:\n%s", out)
		}
		for _, row := range rows {
			if bytes.Equal(row[1], row[2]) {
				t.Fatalf("an equal row:\n%s", out)
			}
		}
	}
}
