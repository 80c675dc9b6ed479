package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/clonerand/rand"
)

const overview = `Without a command it shows what protects this process here, then forks itself and compares what both sides read.
The exit status is 0 where they differ, or where this command cannot fork itself; 1 where they have bytes in common; 3
where nothing was compared, because the forked child did not answer.

clonerand help COMMAND says more about one of them.
`

// startReport is for clonerand without the name of a command: it prints what protects this process here, then forks it
// for real and compares what parent and child read.
func startReport(*flag.FlagSet) action {
	return func(_ []string, stdout, _ io.Writer) error {
		if err := printProtections(stdout, rand.Inspect(100*time.Millisecond)); err != nil {
			return err
		}
		fmt.Fprintln(stdout)
		var parent, child forkedBytes
		return reportFork(forkAndRead(&parent, &child, childTime), &parent, &child, stdout)
	}
}

// childTime is how long a forked child may take to answer. On virtual machines whose page faults are slow a fork
// alone takes seconds.
const childTime = 30 * time.Second

// errChildHangs says nothing about what the child read.
var errChildHangs = errors.New("the forked child did not answer in time")

// reportFork says what came of the fork.
func reportFork(err error, parent, child *forkedBytes, stdout io.Writer) error {
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		fmt.Fprintln(stdout, "This command cannot fork itself on this system, so there are no bytes to compare.")
		return nil
	case errors.Is(err, errChildHangs):
		return &exitStatus{3, fmt.Errorf("nothing was compared: %w; run it again", err)}
	case err != nil:
		return fmt.Errorf("the fork: %w", err)
	}
	return compareForked(parent, child, stdout)
}

// forkedBytes is what one side of the fork read after it.
type forkedBytes struct {
	pid   int
	bytes [1024]byte
}

func printProtections(w io.Writer, rows []rand.Protection) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		state := "no"
		if row.Active {
			state = "yes"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", row.Name, state, row.Detail)
		if row.Mend != "" {
			fmt.Fprintf(table, "\t\tmend: %s\n", row.Mend)
		}
	}
	return table.Flush()
}

// compareForked shows the first rows of both, side by side. Bytes that both have are an error.
func compareForked(parent, child *forkedBytes, stdout io.Writer) error {
	table := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "parent, process %d\tchild, process %d\n", parent.pid, child.pid)
	for i := 0; i < 64; i += 16 {
		fmt.Fprintf(table, "%x\t%x\n", parent.bytes[i:i+16], child.bytes[i:i+16])
	}
	err := table.Flush()
	if n := equalBlocks(parent, child); n > 0 {
		return fmt.Errorf("parent and child have %d runs of 16 bytes in common", n)
	}
	fmt.Fprintf(stdout, "They differ: no 16 bytes of the %d that each read are in both.\n", len(parent.bytes))
	return err
}

// equalBlocks counts the runs of 16 bytes of b, at any offset, that are somewhere in a.
func equalBlocks(a, b *forkedBytes) int {
	seen := make(map[[16]byte]bool)
	for i := 0; i+16 <= len(a.bytes); i++ {
		seen[[16]byte(a.bytes[i:])] = true
	}
	n := 0
	for i := 0; i+16 <= len(b.bytes); i++ {
		if seen[[16]byte(b.bytes[i:])] {
			n++
		}
	}
	return n
}
