package main

import "time"

// A protection is one row of the report.
type protection struct {
	Name   string
	Active bool
	Detail string
	Mend   string
}

func inspect(time.Duration) []protection { return nil }
