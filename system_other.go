//go:build !linux

package rand

// systemStrict fills b from the operating system. Where that fails crypto/rand's Reader
// ends the process: nothing here asks in another way.
func systemStrict(b []byte) error { return readEntropy(systemReader, b) }

// systemReady reports false: nothing here says whether to ask would have to wait.
func systemReady(b []byte) (ok bool) { return false }
