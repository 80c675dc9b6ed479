package rand

import (
	"os"

	"github.com/clonerand/rand/internal/signalfile"
	"golang.org/x/sys/unix"
)

// mapSignal maps the first page of path and returns its first words. Who may have made the file is for
// [signalfile.Check] to say.
func mapSignal(path string, device bool, words int) ([]uint64, error) {
	fd, err := signalfile.Open(path, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	if err := signalfile.Check(fd, device); err != nil {
		return nil, err
	}
	return signalfile.Map(fd, words)
}

// signalSetting returns the value of an environment variable, or "" in a program that runs with more rights
// than its caller has (set-user-ID, file capabilities): the caller must not take its protection away, nor name
// files for it to open.
func signalSetting(name string) string {
	const atSecure = 23 // AT_SECURE, getauxval(3)
	auxv, _ := unix.Auxv()
	for _, a := range auxv {
		if a[0] == atSecure && a[1] != 0 {
			return ""
		}
	}
	return os.Getenv(name)
}
