//go:build amd64 || (arm64 && (linux || darwin || windows || freebsd))

package probe

// cycles reads the counter that package rand looks at: the TSC, CNTVCT_EL0.
//
//go:noescape
func cycles() uint64

const hasCycles = true
