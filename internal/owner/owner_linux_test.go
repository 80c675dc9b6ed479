package owner

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// Real processes as several users, and in user namespaces that map some users or none.
func TestCheck(t *testing.T) {
	if os.Getenv("CLONERAND_TEST_OWNER") != "" {
		for _, uid := range []int{0, 65534, 12345} {
			fmt.Printf("%d: %v\n", uid, Check(uid))
		}
		os.Exit(0)
	}
	if os.Getenv("CLONERAND_TEST_EMULATOR") != "" { // set by .ci/emulated.sh
		t.Skip("user-mode emulation: the kernel starts no program of another CPU")
	}
	if os.Geteuid() != 0 {
		t.Skip("only root can run a process as another user")
	}
	everybody := uint32(1<<32 - 1)
	const right, wrong, unknown = "<nil>", "belongs to user %d; it must be root's or this user's own", "belongs to user %d, who may be any user that this user namespace does not map"
	for _, c := range []struct {
		name               string
		user               uint32
		maps               []syscall.SysProcIDMap
		namespace          bool
		root, nobody, some string
	}{
		{name: "root", root: right, nobody: wrong, some: wrong},
		{name: "nobody", user: 65534, root: right, nobody: right, some: wrong},
		{name: "a user", user: 12345, root: right, nobody: wrong, some: right},
		{name: "nobody is mapped", namespace: true, root: right, nobody: unknown, some: wrong}, // and so the effective user is 65534
		{name: "root is mapped", namespace: true, maps: []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1}}, root: right, nobody: unknown, some: wrong},
		{name: "a user is mapped to root", namespace: true, maps: []syscall.SysProcIDMap{{ContainerID: 0, HostID: 12345, Size: 1}}, root: right, nobody: unknown, some: wrong},
		{name: "65536 users are mapped", namespace: true, user: 65534, maps: []syscall.SysProcIDMap{{ContainerID: 0, HostID: 100000, Size: 65536}}, root: right, nobody: unknown, some: wrong},
		{name: "65536 users are mapped, one of them", namespace: true, user: 12345, maps: []syscall.SysProcIDMap{{ContainerID: 0, HostID: 100000, Size: 65536}}, root: right, nobody: unknown, some: right},
		{name: "everybody is mapped", namespace: true, user: 65534, maps: []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: int(everybody)}}, root: right, nobody: right, some: wrong},
	} {
		t.Run(c.name, func(t *testing.T) {
			if len(c.maps) > 0 && c.maps[0].Size < 0 {
				t.Skip("syscall.SysProcIDMap has no such size on 32 bits")
			}
			cmd := exec.Command("/proc/self/exe", "-test.run=^TestCheck$")
			cmd.Env = append(os.Environ(), "CLONERAND_TEST_OWNER=1")
			cmd.Dir = "/"
			cmd.SysProcAttr = &syscall.SysProcAttr{UidMappings: c.maps, GidMappings: c.maps}
			if c.namespace {
				cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
			}
			if c.user != 0 || c.maps != nil {
				cmd.SysProcAttr.Credential = &syscall.Credential{Uid: c.user, Gid: c.user}
			}
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Skipf("no such process here: %v\n%s", err, out)
			}
			text := func(uid int, why string) string {
				if strings.Contains(why, "%d") {
					why = fmt.Sprintf(why, uid)
				}
				return fmt.Sprintf("%d: %s\n", uid, why)
			}
			if want := text(0, c.root) + text(65534, c.nobody) + text(12345, c.some); string(out) != want {
				t.Errorf("it says\n%swant\n%s", out, want)
			}
		})
	}
}
