//go:build !unix && !windows

package rand

import (
	"errors"
	"os"
	"time"
)

// Plan 9, js and wasip1 have no advisory lock between processes.
const lockSupported = false

func lockFile(*os.File) (locked bool, holder string, err error) {
	return false, "", errors.ErrUnsupported
}

func napThread(d time.Duration) { time.Sleep(d) }
