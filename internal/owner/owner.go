// Package owner decides whose files a process may rely on for its random bytes.
package owner

import (
	"fmt"
	"os"
)

// Check returns an error that says why a file of the user uid must not be relied on, or nil. Root's files
// and those of the effective user may be.
func Check(uid int) error {
	switch {
	case Unknown(uid):
		return fmt.Errorf("belongs to user %d, who may be any user that this user namespace does not map", uid)
	case uid != 0 && uid != os.Geteuid():
		return fmt.Errorf("belongs to user %d; it must be root's or this user's own", uid)
	}
	return nil
}
