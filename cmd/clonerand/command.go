package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// A command has either commands of its own or a function that starts it. Its help is made of what is here.
type command struct {
	name  string
	args  string // the flags and arguments, as the usage line shows them
	short string // one line for the list of commands
	long  string // what the help says below the usage line

	sub []*command

	least, most int // how many arguments it takes beside the flags; a negative most is any number
	// start declares the flags, and returns what runs once they are parsed.
	start func(flags *flag.FlagSet) action
}

// An action does the work of a command. It need not check writes to stdout: run does. Its error is printed and makes
// the exit status 1, misused makes it 2, and an *exitStatus any other.
type action func(args []string, stdout, stderr io.Writer) error

// exitStatus is an error with an exit status of its own. Without err nothing is printed.
type exitStatus struct {
	status int
	err    error
}

func (e *exitStatus) Error() string { return fmt.Sprint(e.err) }
func (e *exitStatus) Unwrap() error { return e.err }

// errMisused says that the arguments are wrong.
type errMisused struct{ error }

func misused(format string, args ...any) error { return errMisused{fmt.Errorf(format, args...)} }

// run runs the command that the arguments name, and returns the exit status: 0, 1 for a failure, 2 for wrong
// arguments, or what the command's help says.
func run(args []string, stdout, stderr io.Writer) int {
	out := &checkedWriter{w: stdout}
	at, path, args, err := find(args)
	if err == nil {
		err = at.perform(path, args, out, stderr)
	}
	if err == nil {
		err = out.err
	}
	if out.err != nil && isClosedPipe(out.err) && errors.Is(err, out.err) {
		err = nil // whoever reads has had enough
	}
	var misuse errMisused
	if errors.As(err, &misuse) {
		failed(stderr, err)
		fmt.Fprintf(stderr, "%s%s says more.\n", at.usage(path), strings.Replace(path, "clonerand", "clonerand help", 1))
		return 2
	}
	return exitCode(err, stderr)
}

// exitCode prints the error of a command, and returns the status that belongs to it.
func exitCode(err error, stderr io.Writer) int {
	var own *exitStatus
	switch {
	case err == nil:
		return 0
	case errors.As(err, &own) && own.err == nil:
		return own.status
	case own != nil:
		failed(stderr, err)
		return own.status
	default:
		return failed(stderr, err)
	}
}

// failed prints why a command did not do its work. The package's own errors have the prefix already.
func failed(stderr io.Writer, err error) int {
	fmt.Fprintf(stderr, "clonerand: %s\n", strings.TrimPrefix(err.Error(), "clonerand: "))
	return 1
}

// find goes down the table as far as the arguments name commands. path is the command line up to there. The word help
// may stand before any of them, and is the same as -h at the end.
func find(args []string) (at *command, path string, rest []string, err error) {
	at, path = &command{args: "[COMMAND]", long: overview, sub: commands, start: startReport}, "clonerand"
	help := false
	for ; len(args) > 0 && at.sub != nil; args = args[1:] {
		if args[0] == "help" {
			help = true
			continue
		}
		next := at.named(args[0])
		if next == nil {
			break
		}
		at, path = next, path+" "+args[0]
	}
	if help && len(args) > 0 && !slices.Contains([]string{"-h", "-help", "--h", "--help"}, args[0]) {
		err = misused("no help for %q", args[0])
	}
	if help {
		args = []string{"-h"}
	}
	return at, path, args, err
}

func (c *command) named(name string) *command {
	for _, sub := range c.sub {
		if sub.name == name {
			return sub
		}
	}
	return nil
}

// perform does what the arguments after the command's name ask for: help, or the work.
func (c *command) perform(path string, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet(path, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	var work action
	if c.start != nil {
		work = c.start(flags)
	}
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		c.help(stdout, path, flags)
		return nil
	} else if err != nil {
		return errMisused{err}
	}
	switch n := flags.NArg(); {
	case c.sub != nil && n > 0:
		return misused("unknown command %q", flags.Arg(0))
	case work == nil:
		return misused("%s wants a command after it", path)
	case n < c.least:
		return misused("%s wants %s", path, c.args)
	case c.most >= 0 && n > c.most:
		return misused("unexpected argument %q", flags.Arg(c.most))
	}
	return work(flags.Args(), stdout, stderr)
}

// usage has a line for the command, or one for each of its own.
func (c *command) usage(path string) string {
	if c.sub == nil || c.start != nil {
		return "usage: " + strings.TrimSpace(path+" "+c.args) + "\n"
	}
	var lines strings.Builder
	for i, sub := range c.sub {
		head := "usage: "
		if i > 0 {
			head = "       "
		}
		fmt.Fprintln(&lines, head+strings.TrimSpace(path+" "+sub.name+" "+sub.args))
	}
	return lines.String()
}

func (c *command) help(w io.Writer, path string, flags *flag.FlagSet) {
	fmt.Fprint(w, c.usage(path))
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if c.sub != nil {
		fmt.Fprintln(table)
	}
	for _, sub := range c.sub {
		fmt.Fprintf(table, "%s\t%s\n", sub.name, sub.short)
	}
	table.Flush()
	long := c.long
	if long == "" {
		long = strings.ToUpper(c.short[:1]) + c.short[1:] + ".\n"
	}
	fmt.Fprint(w, "\n"+long)
	table.Init(w, 0, 0, 2, ' ', 0)
	first := true
	flags.VisitAll(func(f *flag.Flag) {
		if first {
			fmt.Fprintln(table)
			first = false
		}
		value, text := flag.UnquoteUsage(f)
		fmt.Fprintf(table, "%s\t%s\n", strings.TrimSpace("-"+f.Name+" "+value), strings.ReplaceAll(text, "\n", "\n\t"))
	})
	table.Flush()
}

// checkedWriter keeps the first error of a writer, so that no command has to look at each line it prints.
type checkedWriter struct {
	w   io.Writer
	err error
}

func (c *checkedWriter) Write(b []byte) (n int, err error) {
	if c.err == nil {
		n, c.err = c.w.Write(b)
	}
	return n, c.err
}
