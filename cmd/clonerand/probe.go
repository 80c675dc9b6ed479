package main

var probeCommand = &command{
	name:  "probe",
	short: "show on your own platform whether the clones of a machine repeat",
	sub:   []*command{probeRunCommand, probeCompareCommand},
	long: `Start clonerand probe run in the machine. Take a snapshot of the machine while it runs, restore it twice, and press
Enter in each of the two. Copy their two files to one place, and run clonerand probe compare A B.
`,
}
