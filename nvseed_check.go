package rand

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
)

const adviceNewSeed = "remove it, and put a seed there as for a new device (clonerand seed create)"

// What lies beside a seed: the file whose lock excludes others, and the next seed until it is whole.
const (
	lockSuffix = ".lock"
	nextSuffix = ".next"
)

// checkName refuses the names of the files that lie beside a seed: a draw from that seed would
// remove one that is a seed itself, and a draw from this one would take its lock away.
func checkName(name string) error {
	for _, suffix := range []string{lockSuffix, nextSuffix} {
		if strings.EqualFold(filepath.Ext(name), suffix) {
			return mend(fmt.Errorf("ends in %s, as a file beside a seed does", suffix), "choose another name")
		}
	}
	return nil
}

// checkSeed refuses what cannot be a seed, or one that others can know.
func checkSeed(file string, info fs.FileInfo) error {
	if err := checkRegular(info); err != nil {
		return err
	}
	if err := checkSize(info.Size()); err != nil {
		return err
	}
	return checkAccess(file, info)
}

func checkRegular(info fs.FileInfo) error {
	switch mode := info.Mode(); {
	case mode.IsRegular():
		return nil
	case mode.IsDir():
		return mend(errors.New("is a folder"), "name the seed file in it")
	default:
		return mend(fmt.Errorf("is no regular file (%v)", mode.Type()), "name a seed file")
	}
}

func checkSize(n int64) error {
	switch {
	case n < nvSeedLen:
		return mend(fmt.Errorf("%d bytes, and a seed has at least %d", n, nvSeedLen), adviceNewSeed)
	case n > nvSeedMaxLen:
		return mend(fmt.Errorf("%d bytes, and a seed has at most %d", n, nvSeedMaxLen), "this is no seed file: name another one")
	}
	return nil
}

// blank reports whether b is what a lost write leaves on a disk, or erased flash memory.
func blank(b []byte) bool {
	for _, x := range b {
		if x != b[0] {
			return false
		}
	}
	return true
}

// isPEM reports whether b begins as a PEM file does (RFC 7468, 2). A private key has the size, the mode
// and the owner of a seed, and a seed begins so with a probability of 2^-88.
func isPEM(b []byte) bool { return bytes.HasPrefix(b, []byte("-----BEGIN ")) }

// mend adds to an error what to do about it.
func mend(err error, what string) error { return fmt.Errorf("%w: %s", err, what) }

// missing adds the advice for a seed that could not be looked at.
func missing(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return mend(fs.ErrNotExist, "create it with clonerand seed create, or put the device's own seed there")
	case errors.Is(err, fs.ErrPermission):
		return mend(err, "run as the owner of the seed, whose mode must be 0600")
	}
	return adviseSeed("", err)
}

// advise says what to do where the folder, or a file in it that is not the seed, cannot be used.
func (p *seedFolder) advise(err error) error { return adviseSeed(p.path, err) }

func adviseSeed(folder string, err error) error {
	if what := adviceFor(folder, err); what != "" {
		return mend(err, what)
	}
	return err
}
