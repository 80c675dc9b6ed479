package rand

const sysGenIDPath = "/dev/sysgenid"

// openSysGenID finds the SysGenID device of Amazon Linux: a 32-bit generation counter at byte 0 of a page that is
// otherwise zero, so that its first word can be watched whole. CLONERAND_SYSGENID=off leaves it out.
func openSysGenID() signal {
	if setting("CLONERAND_SYSGENID") == "off" {
		return leftOut("sysgenid", "CLONERAND_SYSGENID")
	}
	return openSysGenIDAt(sysGenIDPath)
}

func openSysGenIDAt(path string) signal {
	s := signal{name: "sysgenid", path: path, missing: "only Amazon's kernels have it", denied: "let this user read the device"}
	if s.memory, s.err = mapSignal(path, true, 1); s.err == nil {
		s.watch = []int{0}
	}
	return s
}
