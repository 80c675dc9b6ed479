//go:build unix && !linux

package rand

import "os"

// isMount reports whether a file in the folder is a mount of its own. Nobody can tell here; the first draw does.
func isMount(dir *os.File, name string) bool { return false }
