//go:build arm64 && (darwin || windows || freebsd)

package rand

// hasCPURandom: nothing here says whether RNDR is there, short of trying it.
func hasCPURandom() bool { return false }
