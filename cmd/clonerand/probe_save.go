package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// save writes the file, under a name that is not in use.
func (p *probing) save(name string) (string, error) {
	img, err := p.region.Image()
	if err != nil {
		return "", err
	}
	p.SetLogs(img)
	p.Ended = time.Now().UTC().Round(time.Second)
	f, err := createNew(name)
	if err != nil {
		return "", err
	}
	if err := cmp.Or(p.Write(f), f.Sync(), f.Close()); err != nil {
		os.Remove(f.Name()) // half a file is of no use, and the disk may be full
		return "", err
	}
	return f.Name(), nil
}

// canSave reports at the start what would prevent save at the end, when the snapshot has been taken.
func canSave(name string) error {
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s: is not a regular file; name another with -o", name)
	}
	f, err := createNew(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

func createNew(name string) (*os.File, error) {
	free := name
	for i := 2; ; i++ {
		f, err := os.OpenFile(free, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if !errors.Is(err, fs.ErrExist) || i > 1000 {
			return f, err
		}
		ext := filepath.Ext(name)
		free = fmt.Sprintf("%s-%d%s", strings.TrimSuffix(name, ext), i, ext)
	}
}
