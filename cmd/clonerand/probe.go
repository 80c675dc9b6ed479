package main

var probeCommand = &command{
	name:  "probe",
	short: "show on your own platform whether the clones of a machine repeat",
	sub:   []*command{probeRunCommand, probeCompareCommand},
	long: `In the machine: clonerand probe run. Take a snapshot of the machine while it runs, restore it twice, and press
Enter in each of the two. Each has a file then; copy both to one place, and there: clonerand probe compare A B
`,
}
