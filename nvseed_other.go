//go:build !unix && !windows

package rand

import (
	"errors"
	"io/fs"
	"os"
	"time"
)

// Plan 9, js and wasip1 have no advisory lock between processes.
const lockSupported = false

func lockFile(*os.File) (locked bool, holder string, err error) {
	return false, "", errors.ErrUnsupported
}

func napThread(d time.Duration) { time.Sleep(d) }

// No NV seed is ever made here, so none of the following is reached.

const openFlags = 0

func absolute(string) (string, error) { return "", errors.ErrUnsupported }

func resolveSeed(string, bool) (folder, name string, err error) { return "", "", errors.ErrUnsupported }

func statFolder(string) (fs.FileInfo, error) { return nil, errors.ErrUnsupported }

func checkSeedFolder(string, fs.FileInfo) error { return errors.ErrUnsupported }

func checkAccess(string, fs.FileInfo) error { return errors.ErrUnsupported }

func ownLike(*os.File, fs.FileInfo) error { return errors.ErrUnsupported }

func (p *seedFolder) checkReplaceable() error { return errors.ErrUnsupported }

func (p *seedFolder) remove(string) error { return errors.ErrUnsupported }

func (p *seedFolder) rename(from, to string) error { return errors.ErrUnsupported }

func syncFolder(*os.File) error { return errors.ErrUnsupported }

func (p *seedFolder) adviseRename(err error) error { return err }

func adviceFor(folder string, err error) string { return "" }
