package owner

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"strconv"
)

// Unknown reports whether uid stands for users that nobody here can tell apart. In a user namespace the kernel
// shows every user that is not mapped as one, the overflow user (user_namespaces(7)), who is never root.
func Unknown(uid int) bool { return uid != 0 && uid == overflowUser() && !everybodyIsMapped() }

func overflowUser() int {
	text, _ := os.ReadFile("/proc/sys/kernel/overflowuid")
	if uid, err := strconv.Atoi(string(bytes.TrimSpace(text))); err == nil {
		return uid
	}
	return 65534 // DEFAULT_OVERFLOWUID of Linux' include/linux/highuid.h
}

// everybodyIsMapped reports whether each user of the machine has a number of its own here. Without /proc nobody knows.
func everybodyIsMapped() bool {
	const all = "4294967295" // (uid_t)-1 is no user
	text, err := os.ReadFile("/proc/self/uid_map")
	if errors.Is(err, fs.ErrNotExist) { // a kernel without user namespaces, if there is a /proc
		_, err = os.Stat("/proc/self/status")
		return err == nil
	}
	fields := bytes.Fields(text) // the first user here, the first user outside, how many
	return len(fields) == 3 && string(fields[2]) == all
}
