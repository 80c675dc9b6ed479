package rand

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// User-mode QEMU says yes to any madvise and wipes nothing: believed, it would be a
// fork detector that never sees a fork. Everywhere else the page is
// wanted, and a kernel that does not have it says so.
func TestForkPageIsNotBelievedInAnEmulator(t *testing.T) {
	page, why := mapForkPage()
	if os.Getenv(emulatorEnv) == "" {
		if page == nil && !strings.Contains(why, "MADV_WIPEONFORK") {
			t.Errorf("no page, and not for want of MADV_WIPEONFORK: %s", why)
		}
		return
	}
	// Version 7.2 accepts everything. One that passes advice on to the kernel gives a page
	// that is wiped, and refuses what the kernel refuses.
	p, err := unix.Mmap(-1, 0, unix.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(p)
	if unix.Madvise(p, -1) == nil && page != nil {
		t.Error("the emulator accepts advice that does not exist, and was believed to wipe a page")
	}
	w := newCloneWatch()
	if s := w.current(); s.page == nil && (s.pid != os.Getpid() || s.pageWhy == "") {
		t.Errorf("no page, so the process ID %d should tell forks, and the report why: it has %d, %q", os.Getpid(), s.pid, s.pageWhy)
	}
	pid := os.Getpid()
	w.identity = func() int { return pid }
	before := w.poll()
	pid++
	if page == nil && w.poll() == before {
		t.Error("another process ID was not noticed")
	}
	t.Logf("page: %v (%s)", page != nil, why)
}
