package main

import (
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/clonerand/rand"
)

// reportCommand prints what protects this process here, then forks it for real and compares what parent and child
// read. It returns 0 only where they differ (or where this command has no way to fork, and says so).
func reportCommand(_ []string, stdout, stderr io.Writer) int {
	printProtections(stdout, rand.Inspect(100*time.Millisecond))
	fmt.Fprintln(stdout)

	var parent, child forkedBytes
	err := forkAndRead(&parent, &child)
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		fmt.Fprintln(stdout, "This command cannot fork itself on this system, so there are no bytes to compare.")
		return 0
	case err != nil:
		return failed(stderr, fmt.Errorf("the fork: %w", err))
	}
	return compareForked(&parent, &child, stdout, stderr)
}

// forkedBytes is what one side of the fork read after it.
type forkedBytes struct {
	pid   int
	bytes [1024]byte
}

func printProtections(w io.Writer, rows []rand.Protection) {
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
	table.Flush()
}

// compareForked shows the first rows of both, side by side, and returns 0 where they differ.
func compareForked(parent, child *forkedBytes, stdout, stderr io.Writer) int {
	table := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "parent, process %d\tchild, process %d\n", parent.pid, child.pid)
	for i := 0; i < 64; i += 16 {
		fmt.Fprintf(table, "%x\t%x\n", parent.bytes[i:i+16], child.bytes[i:i+16])
	}
	table.Flush()
	if n := equalBlocks(parent, child); n > 0 {
		return failed(stderr, fmt.Errorf("parent and child have %d runs of 16 bytes in common", n))
	}
	fmt.Fprintf(stdout, "They differ: no 16 bytes of the %d that each read are in both.\n", len(parent.bytes))
	return 0
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
