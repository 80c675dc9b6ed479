package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/clonerand/rand/internal/goroot"
)

var stdCommand = &command{
	name:  "std",
	short: "the patched standard library: who has it, and what it changes",
	long: `check looks for the names of functions in a table that stripped programs have, too. In compressed or obfuscated
programs it finds nothing and says no. It says yes of a program that has a patched one embedded in it.
`,
	sub: []*command{
		{name: "check", args: "PROGRAM...", short: "say whether programs are patched, and have the package in them", least: 1, most: -1,
			long: `A PROGRAM is an executable file or a library. The status is 0 where both hold for all of them, and BoringCrypto is in
none.
`,
			start: func(*flag.FlagSet) action { return checkPrograms }},
		{name: "diff", short: "show what the patch changes in the Go of the current folder",
			start: func(*flag.FlagSet) action { return diffStd }},
	},
}

func checkPrograms(args []string, stdout, _ io.Writer) error {
	all := true
	for _, name := range args {
		program, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		patched, ours, boring := hasFunction(program, goroot.Marker), hasFunction(program, packageMarker), hasFunction(program, boringMarker)
		all = all && patched && ours && !boring
		switch {
		case patched && ours && boring:
			fmt.Fprintf(stdout, "%s: patched, and the package is in it, but crypto/rand and most keys draw from BoringCrypto: build it without GOEXPERIMENT=boringcrypto\n", name)
		case patched && ours:
			fmt.Fprintf(stdout, "%s: patched, and the package is in it\n", name)
		case patched:
			fmt.Fprintf(stdout, "%s: patched, but the package is not in it: import _ %q in its package main\n", name, packagePath)
		case ours:
			fmt.Fprintf(stdout, "%s: not patched, though the package is in it: build it with clonerand go build\n", name)
		default:
			fmt.Fprintf(stdout, "%s: not patched, and the package is not in it\n", name)
		}
	}
	if !all {
		return &exitStatus{status: 1}
	}
	return nil
}

// packageMarker is a function that is in a program with the package, and in no other. The name is in
// two parts, so that naming it here does not put it into this command.
var packageMarker = [2]string{packagePath, "readForStd"}

// boringMarker is a method that is in each program whose crypto/rand draws from BoringCrypto.
var boringMarker = [2]string{"crypto/internal/boring", "(*randReader).Read"}

// hasFunction looks for the name of a function in the runtime's table, where each ends with a zero byte.
func hasFunction(program []byte, name [2]string) bool {
	return bytes.Contains(program, []byte("\x00"+name[0]+"."+name[1]+"\x00"))
}

func diffStd(_ []string, stdout, _ io.Writer) error {
	env, err := currentGo()
	if err != nil {
		return err
	}
	files, err := goroot.Patch(env.GOROOT)
	if err != nil {
		return err
	}
	for _, f := range files {
		writeDiff(stdout, f)
	}
	return nil
}

// writeDiff writes a unified diff with a single hunk: from the first line that differs to the last.
func writeDiff(w io.Writer, f goroot.File) {
	const context = 3
	was, is := lines(f.Old), lines(f.New)
	head := 0
	for head < min(len(was), len(is)) && bytes.Equal(was[head], is[head]) {
		head++
	}
	tail := 0
	for tail < min(len(was), len(is))-head && bytes.Equal(was[len(was)-1-tail], is[len(is)-1-tail]) {
		tail++
	}
	from := max(head-context, 0)
	after := min(tail, context)
	old := "a/" + f.Name
	if f.Old == nil {
		old = "/dev/null"
	}
	fmt.Fprintf(w, "--- %s\n+++ b/%s\n", old, f.Name)
	fmt.Fprintf(w, "@@ -%s +%s @@\n", hunk(from, len(was)-tail+after), hunk(from, len(is)-tail+after))
	write := func(sign string, lines [][]byte) {
		for _, l := range lines {
			fmt.Fprintf(w, "%s%s", sign, l)
		}
	}
	write(" ", was[from:head])
	write("-", was[head:len(was)-tail])
	write("+", is[head:len(is)-tail])
	write(" ", was[len(was)-tail:len(was)-tail+after])
}

// hunk is a range of lines, from one number to before another, as a diff counts.
func hunk(from, to int) string {
	count := to - from
	if count > 0 {
		from++
	}
	return fmt.Sprintf("%d,%d", from, count)
}

// lines splits a text that ends with the end of a line, as Go source does.
func lines(text []byte) (all [][]byte) {
	for l := range bytes.Lines(text) {
		all = append(all, l)
	}
	return all
}
