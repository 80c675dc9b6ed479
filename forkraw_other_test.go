//go:build !linux

package rand

// forkHelper: raw forks are tested on Linux only.
func forkHelper() {}

// secretsHelper: memory is looked at on Linux only.
func secretsHelper() {}
