//go:build !linux

package owner

// Unknown reports whether uid stands for users that nobody here can tell apart: on Linux alone.
func Unknown(uid int) bool { return false }
