//go:build (amd64 || arm64) && !linux

package rand

// counterTraps: only Linux lets a process forbid itself the counter.
func counterTraps() bool { return false }
