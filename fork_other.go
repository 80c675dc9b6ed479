//go:build !unix && !windows

package rand

// Plan 9, js and wasip1. A Go program on Plan 9 has no way to rfork itself in two
// without its runtime; in the other two nothing can fork.

func mapForkPage() (page *uint64, why string) { return nil, "Go programs do not fork here" }

// processID: it can not change.
func processID() int { return 0 }
