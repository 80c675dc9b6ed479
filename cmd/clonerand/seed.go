package main

import (
	"flag"
	"fmt"
	"io"

	"github.com/clonerand/rand"
)

var seedCommand = &command{
	name:  "seed",
	short: "a nonvolatile seed, for machines without an entropy source",
	long: `Run it as the user who reads the seed. In a script that clones a machine with its seed, advance the seed before
each clone, and give each clone a personalization of its own.
`,
	sub: []*command{
		{name: "create", args: "FILE", short: "make a new seed of 64 bytes; FILE must not exist", least: 1, most: 1,
			start: onSeed(rand.CreateNVSeed, "created")},
		{name: "check", args: "FILE", short: "say whether FILE is a seed that can be used", least: 1, most: 1,
			start: onSeed(checkSeed, "usable")},
		{name: "advance", args: "FILE", short: "put the next seed in its place", least: 1, most: 1,
			start: onSeed(advanceSeed, "advanced")},
	},
}

// onSeed does something with the FILE of the arguments, and says that it is done.
func onSeed(do func(file string) error, done string) func(*flag.FlagSet) action {
	return func(*flag.FlagSet) action {
		return func(args []string, stdout, _ io.Writer) error {
			file := args[0]
			if file == "" {
				return misused("the name of the FILE is empty")
			}
			if err := do(file); err != nil {
				return err
			}
			fmt.Fprintf(stdout, "%s: %s\n", file, done)
			return nil
		}
	}
}

func checkSeed(file string) error {
	_, err := rand.OpenNVSeed(file)
	return err
}

// advanceSeed draws from the seed and throws the output away.
func advanceSeed(file string) error {
	seed, err := rand.OpenNVSeed(file)
	if err != nil {
		return err
	}
	var b [1]byte
	_, err = seed.Read(b[:])
	return err
}
