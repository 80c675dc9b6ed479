//go:build !linux

package rand

import "os"

// setting returns the value of an environment variable, or "" in a program that runs
// with more rights than its caller has (set-user-ID, set-group-ID): the caller must not
// take its protection away.
func setting(name string) string {
	if os.Getuid() != os.Geteuid() || os.Getgid() != os.Getegid() {
		return ""
	}
	return os.Getenv(name)
}
