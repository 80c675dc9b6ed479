//go:build unix && !linux

package rand

// mapForkPage: this system wipes no page on fork that Go could ask for.
func mapForkPage() (page *uint64, why string) { return nil, "no page is wiped on fork here" }
