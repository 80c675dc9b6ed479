package main

import "os"

func main() {
	if len(os.Args) > 1 && os.Args[1] == "seed" {
		os.Exit(seedCommand(os.Args[2:], os.Stdout, os.Stderr))
	}
	os.Stderr.WriteString(seedUsage)
	os.Exit(2)
}
