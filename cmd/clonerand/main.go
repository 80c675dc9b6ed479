// Command clonerand shows what protects a process of this machine from repeating the bytes of a clone, streams
// random bytes, and tells the processes of a cloned machine that it was cloned.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
)

const usage = `usage: clonerand [command]

clonerand                    show what protects this process here, then fork and compare
clonerand read [-n BYTES] [-hex]
                             write random bytes to standard output
clonerand seed create|check|advance FILE
                             a nonvolatile seed, for machines without an entropy source
clonerand signal init [FILE]
clonerand signal bump [-id HEX | -id-file F] [FILE]
clonerand signal status [FILE]
                             the clone signals, and the generation file for resume hooks

clonerand COMMAND -h says more.
`

// A command gets its arguments and returns the exit status: 0, 1 for a failure, 2 for wrong arguments.
type command func(args []string, stdout, stderr io.Writer) int

var commands = map[string]command{
	"go":     goCommand,
	"goroot": gorootCommand,
	"read":   readCommand,
	"seed":   seedCommand,
	"signal": signalCommand,
	"std":    stdCommand,
}

func main() {
	keepBrokenPipes()
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		return reportCommand(args, stdout, stderr)
	}
	return dispatch(commands, usage, args, stdout, stderr)
}

// dispatch runs the command that the first argument names.
func dispatch(commands map[string]command, usage string, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(stderr, usage)
		return 2
	}
	switch args[0] {
	case "help", "-h", "-help", "--help":
		fmt.Fprint(stdout, usage)
		return 0
	}
	c, ok := commands[args[0]]
	if !ok {
		fmt.Fprintf(stderr, "clonerand: unknown command %q\n%s", args[0], usage)
		return 2
	}
	return c(args[1:], stdout, stderr)
}

// parse parses the flags of a command that takes at most the given number of other arguments. It is done,
// with that exit status, where the user asked for help or the arguments are wrong.
func parse(flags *flag.FlagSet, usage string, args []string, most int, stdout, stderr io.Writer) (status int, done bool) {
	flags.SetOutput(io.Discard)
	err := flags.Parse(args)
	if err == nil && flags.NArg() > most {
		err = fmt.Errorf("unexpected argument %q", flags.Arg(most))
	}
	switch {
	case err == nil:
		return 0, false
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, usage)
		return 0, true
	default:
		return misused(stderr, usage, err), true
	}
}

// misused prints what is wrong with the arguments.
func misused(stderr io.Writer, usage string, err error) int {
	fmt.Fprintf(stderr, "clonerand: %v\n%s", err, usage)
	return 2
}

// failed prints why a command did not do its work.
func failed(stderr io.Writer, err error) int {
	fmt.Fprintf(stderr, "clonerand: %v\n", err)
	return 1
}
