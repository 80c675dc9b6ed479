//go:build linux

package rand

import (
	"errors"
	"fmt"
	"io/fs"
)

const sysGenIDPath = "/dev/sysgenid"

// openSysGenID finds the SysGenID device of Amazon Linux: a 32-bit generation counter at byte 0 of a page that is
// otherwise zero, so that its first word can be watched whole. CLONERAND_SYSGENID=off leaves it out.
func openSysGenID() signal {
	if setting("CLONERAND_SYSGENID") == "off" {
		return signal{name: "sysgenid", why: "left out by CLONERAND_SYSGENID=off"}
	}
	return openSysGenIDAt(sysGenIDPath)
}

func openSysGenIDAt(path string) signal {
	memory, err := mapSignal(path, true, 1)
	if err != nil {
		why := fmt.Sprintf("%s: %v", path, err)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			why = path + ": not there; only Amazon's kernels have it"
		case errors.Is(err, fs.ErrPermission):
			why = path + ": permission denied; let this user read the device"
		}
		return signal{name: "sysgenid", why: why}
	}
	return signal{name: "sysgenid", memory: memory, watch: []int{0}}
}
