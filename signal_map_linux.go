package rand

import (
	"github.com/clonerand/rand/internal/signalfile"
	"golang.org/x/sys/unix"
)

// mapSignal maps the first page of path and returns its first words. [signalfile.Check] decides who may have
// made the file.
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
