package rand

import (
	"os"

	"golang.org/x/sys/unix"
)

// setting returns the value of an environment variable, or "" in a program that runs
// with more rights than its caller has (set-user-ID, file capabilities): the caller
// must not take its protection away, nor name files for it to open.
func setting(name string) string {
	value := os.Getenv(name)
	if value == "" {
		return ""
	}
	const atSecure = 23 // AT_SECURE, getauxval(3)
	auxv, _ := unix.Auxv()
	for _, a := range auxv {
		if a[0] == atSecure && a[1] != 0 {
			return ""
		}
	}
	return value
}
