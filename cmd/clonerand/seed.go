package main

import (
	"errors"
	"flag"
	"fmt"
	"io"

	"github.com/clonerand/rand"
)

const seedUsage = `usage: clonerand seed create FILE    make a new seed of 64 bytes; FILE must not exist
       clonerand seed check FILE     say whether FILE is a seed that can be used
       clonerand seed advance FILE   put the next seed in its place

Run it as the user who reads the seed. In a script that clones a machine with
its seed, advance the seed before each clone, and give each clone a
personalization of its own.
`

// seedCommand is clonerand seed. It returns the exit status: 0; 1 if the seed can
// not be used, with what to do on stderr; 2 for arguments that it does not know.
func seedCommand(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("seed", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { fmt.Fprint(stderr, seedUsage) }
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	case flags.NArg() != 2 || flags.Arg(1) == "":
		flags.Usage()
		return 2
	}
	file, done := flags.Arg(1), ""
	var err error
	switch flags.Arg(0) {
	case "create":
		err, done = rand.CreateNVSeed(file), "created"
	case "check":
		_, err = rand.OpenNVSeed(file)
		done = "usable"
	case "advance":
		err, done = advanceSeed(file), "advanced"
	default:
		flags.Usage()
		return 2
	}
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	fmt.Fprintf(stdout, "%s: %s\n", file, done)
	return 0
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
