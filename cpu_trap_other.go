//go:build amd64 && !linux

package rand

// counterTraps: only Linux lets a process forbid itself RDTSC.
func counterTraps() bool { return false }
