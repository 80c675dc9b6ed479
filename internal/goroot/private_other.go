//go:build !unix

package goroot

import "os"

// privateFolder makes a folder. On Windows the cache folder is below the user's profile, where
// the access control list lets nobody else write.
func privateFolder(dir string) (path string, err error) { return dir, os.MkdirAll(dir, 0o700) }

// lock does not wait: where two processes make the same tree, one of the two renames it
// first, and the other takes that one.
func lock(string) (unlock func(), alone bool, err error) { return func() {}, false, nil }
