//go:build !amd64 && !(arm64 && (linux || darwin || windows || freebsd))

package probe

func cycles() uint64 { return 0 }

const hasCycles = false
