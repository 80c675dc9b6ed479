package main

import (
	"fmt"
	"slices"
	"strings"
)

// A goFlag is a flag of the go command with its value, if it has one.
type goFlag struct {
	name, value string
	isSet       bool // the value
}

func (f goFlag) String() string {
	if f.isSet {
		return "-" + f.name + "=" + f.value
	}
	return "-" + f.name
}

// newGoFlag takes apart what follows the hyphens.
func newGoFlag(text string) (f goFlag) {
	f.name, f.value, f.isSet = strings.Cut(text, "=")
	return f
}

// The flags of go build, install and run (go help build), by whether a value follows them.
var goFlagTakesValue = map[string]bool{
	"C": true, "a": false, "n": false, "p": true, "race": false, "msan": false, "asan": false, "cover": false, "covermode": true,
	"coverpkg": true, "v": false, "work": false, "x": false, "asmflags": true, "buildmode": true, "buildvcs": false, "compiler": true,
	"gccgoflags": true, "gcflags": true, "installsuffix": true, "json": false, "ldflags": true, "linkshared": false, "mod": true,
	"modcacherw": false, "modfile": true, "overlay": true, "pgo": true, "pkgdir": true, "tags": true, "trimpath": false,
	"toolexec": true, "o": true, "exec": true, "debug-actiongraph": true, "debug-runtime-trace": true, "debug-trace": true,
}

// The flags that decide which packages a program consists of, and how modules are downloaded to find that out.
var goFlagsOfList = []string{"C", "asan", "installsuffix", "mod", "modcacherw", "modfile", "msan", "overlay", "race", "tags"}

// splitGoFlags finds the end of the flags, as package flag does.
func splitGoFlags(args []string) (flags []goFlag, rest []string, err error) {
	for len(args) > 0 {
		a := args[0]
		if len(a) < 2 || a[0] != '-' {
			break
		}
		args = args[1:]
		if a == "--" {
			break
		}
		f := newGoFlag(strings.TrimPrefix(a[1:], "-"))
		takes, known := goFlagTakesValue[f.name]
		switch {
		case !known:
			return nil, nil, fmt.Errorf("the flag -%s is not known to clonerand; with clonerand goroot DIR you can run DIR/bin/go yourself", f.name)
		case takes && !f.isSet && len(args) == 0:
			return nil, nil, fmt.Errorf("flag needs an argument: -%s", f.name)
		case takes && !f.isSet:
			f.value, f.isSet, args = args[0], true, args[1:]
		}
		flags = append(flags, f)
	}
	return flags, args, nil
}

// findGoFlags finds, among the arguments of a command that links no program but tests, the flags that are checked. go
// test takes them behind the packages, too.
func findGoFlags(args []string) (flags []goFlag) {
	for i, a := range args[1:] {
		if a == "-args" || a == "--args" { // what follows is for the test
			break
		}
		if len(a) < 2 || a[0] != '-' {
			continue
		}
		f := newGoFlag(strings.TrimPrefix(a[1:], "-"))
		switch {
		case f.name == "C" && i == 0:
		case args[0] == "test" && slices.Contains([]string{"compiler", "linkshared", "overlay"}, f.name):
		default:
			continue
		}
		if goFlagTakesValue[f.name] && !f.isSet && len(args) > i+2 {
			f.value, f.isSet = args[i+2], true
		}
		flags = append(flags, f)
	}
	return flags
}

// splitGOFLAGS knows the quotes of the go command: a whole item in ' or ".
func splitGOFLAGS(list string) (flags []goFlag) {
	for list = strings.TrimSpace(list); list != ""; list = strings.TrimSpace(list) {
		item := list
		if q := list[0]; q == '\'' || q == '"' {
			item, list, _ = strings.Cut(list[1:], string(q))
		} else if i := strings.IndexAny(list, " \t\n\r"); i >= 0 {
			item, list = list[:i], list[i:]
		} else {
			list = ""
		}
		flags = append(flags, newGoFlag(strings.TrimLeft(item, "-")))
	}
	return flags
}
