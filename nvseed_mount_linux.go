package rand

import (
	"os"

	"golang.org/x/sys/unix"
)

// isMount reports whether a file in the folder is a mount of its own, as containers have for single files. It needs
// Linux 5.8; on an older one the first draw tells.
func isMount(dir *os.File, name string) bool {
	var st unix.Statx_t
	err := unix.Statx(int(dir.Fd()), name, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT, 0, &st)
	return err == nil && st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0
}
