//go:build !unix && !windows

package rand

import (
	"errors"
	"io/fs"
	"os"
)

// There is no lock on these systems, so nothing here is reached: see lock_other.go.

const openFlags = 0

func checkAccess(string, fs.FileInfo) error { return errors.ErrUnsupported }

func checkLink(link, info fs.FileInfo) error { return errors.ErrUnsupported }

func ownLike(*os.File, fs.FileInfo) error { return errors.ErrUnsupported }

func renameFile(from, to string) error { return errors.ErrUnsupported }

func syncFolder(string) error { return errors.ErrUnsupported }

func adviceFor(error) string { return "" }
