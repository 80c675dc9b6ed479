package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
)

var versionCommand = &command{
	name:  "version",
	short: "show the version and the revision that this command was built from",
	start: func(*flag.FlagSet) action {
		return func(_ []string, stdout, _ io.Writer) error {
			info, ok := debug.ReadBuildInfo()
			if !ok {
				return errors.New("this program was built without module information")
			}
			printVersion(stdout, info)
			return nil
		}
	},
}

// printVersion prints the module, the revision of a build in a checkout, and the toolchain. A build from the module
// cache knows no revision; there the version names it.
func printVersion(w io.Writer, info *debug.BuildInfo) {
	setting := make(map[string]string)
	for _, s := range info.Settings {
		setting[s.Key] = s.Value
	}
	fmt.Fprintf(w, "clonerand %s (%s)\n", info.Main.Version, info.Main.Path)
	if revision := setting["vcs.revision"]; revision != "" {
		changed := ""
		if setting["vcs.modified"] == "true" {
			changed = ", and changes that are not committed"
		}
		fmt.Fprintf(w, "%s revision %s of %s%s\n", setting["vcs"], revision, setting["vcs.time"], changed)
	} else if info.Main.Version == "(devel)" {
		fmt.Fprintln(w, "revision unknown: built with -buildvcs=false, or where go finds no checkout")
	}
	fmt.Fprintf(w, "%s %s/%s\n", info.GoVersion, runtime.GOOS, runtime.GOARCH)
}

// commandVersion is what a file says of the command that wrote it.
func commandVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return info.Main.Version + " " + s.Value
		}
	}
	return info.Main.Version
}
