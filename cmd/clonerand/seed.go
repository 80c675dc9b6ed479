package main

import (
	"errors"
	"flag"
	"fmt"
	"io"

	"github.com/clonerand/rand"
)

const seedUsage = `usage: clonerand seed create [-user NAME] FILE    make a new seed of 64 bytes; FILE must not exist
       clonerand seed check [-user NAME] FILE     say whether FILE is a seed that can be used
       clonerand seed advance [-user NAME] FILE   put the next seed in its place

Run it as the user who reads the seed: a seed of another user is refused, since
that user knows what comes of it. Root names the user with -user NAME (or a user
number), and then works with that user's rights alone.

In a script that clones a machine with its seed, advance the seed before each
clone, and give each clone a personalization of its own.
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
	case flags.NArg() == 0:
		flags.Usage()
		return 2
	}
	name := flags.Arg(0)
	user := flags.String("user", "", "")
	if err := flags.Parse(flags.Args()[1:]); err != nil {
		return 2
	}
	if flags.NArg() != 1 || flags.Arg(0) == "" {
		flags.Usage()
		return 2
	}
	if *user != "" {
		if err := becomeUser(*user); err != nil {
			fmt.Fprintln(stderr, "clonerand:", err)
			return 1
		}
	}
	file, done := flags.Arg(0), ""
	var err error
	switch name {
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
