package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func init() {
	helpers["user"] = func() { // becomes another user, and says what is left of root
		if err := becomeUser("12345"); err != nil {
			fmt.Println(err)
			return
		}
		groups, _ := os.Getgroups()
		fmt.Println(os.Getuid(), os.Getegid(), groups, syscall.Setuid(0))
	}
}

// Root works with a service's seed by becoming the service, for real.
func TestSeedOfAService(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can run as another user")
	}
	dir := t.TempDir()
	for d := dir; d != os.TempDir() && len(d) > 1; d = filepath.Dir(d) { // where the test's folders are closed to others
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	own := filepath.Join(dir, "service")
	seed := filepath.Join(own, "seed")
	nobody := "65534"
	if err := exec.Command("id", "-u", "nobody").Run(); err == nil {
		nobody = "nobody"
	}
	if err := errors.Join(os.Mkdir(own, 0o755), os.Chown(own, 12345, 12345), os.Mkdir(dir+"/nobody", 0o755), os.Chown(dir+"/nobody", 65534, 65534)); err != nil {
		t.Fatal(err)
	}
	read := func() string { b, _ := os.ReadFile(seed); return string(b) }
	for _, c := range []struct {
		args    string
		status  int
		want    string
		changes bool
	}{
		{"create " + seed, 1, "belongs to user 12345; it must be root's or this user's own: run as that user, for which clonerand seed has the flag -user 12345", false},
		{"create -user 12345 " + seed, 0, "created", true},
		{"check " + seed, 1, "-user 12345", false},
		{"check -user 12345 " + seed, 0, "usable", false},
		{"advance " + seed, 1, "-user 12345", false},
		{"advance -user 12345 " + seed, 0, "advanced", true},
		{"advance -user 54321 " + seed, 1, "belongs to user 12345; it must be root's or this user's own: run as user 12345", false},
		{"advance -user " + nobody + " " + seed, 1, "run as user 12345", false},
		{"create -user " + nobody + " " + dir + "/nobody/seed", 0, "created", false},
		{"advance -user no-such-user " + seed, 1, "knows no such user", false},
		{"advance -user -x " + seed, 1, "knows no such user", false},
		{"advance -user 4294967296 " + seed, 1, "knows no such user", false},
		{"advance -user root " + seed, 1, "-user 12345", false},
	} {
		before := read()
		cmd := exec.Command(program(t), append([]string{"seed"}, strings.Fields(c.args)...)...)
		out, _ := cmd.CombinedOutput()
		if status := cmd.ProcessState.ExitCode(); status != c.status || !strings.Contains(string(out), c.want) {
			t.Errorf("seed %s: status %d: %swant %d, %q", c.args, status, out, c.status, c.want)
		}
		if changed := read() != before; changed != c.changes {
			t.Errorf("seed %s: the seed changed: %v", c.args, changed)
		}
	}
	for _, name := range []string{seed, seed + ".lock"} {
		var st syscall.Stat_t
		if err := syscall.Stat(name, &st); err != nil || st.Uid != 12345 || st.Gid != 12345 || st.Mode&0o777 != 0o600 {
			t.Errorf("%s: user %d, group %d, mode %o, %v", name, st.Uid, st.Gid, st.Mode, err)
		}
	}

	// The rights of root are gone, those of its groups too.
	skipEmulated(t, "the kernel starts no program of another CPU")
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), "CLONERAND_TEST_HELPER=user")
	out, err := cmd.CombinedOutput()
	if want := "12345 12345 [12345] operation not permitted\n"; err != nil || string(out) != want {
		t.Errorf("%v: %s, want %s", err, out, want)
	}
	cmd = exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), "CLONERAND_TEST_HELPER=user")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 54321, Gid: 54321}}
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "only root can run as another user") {
		t.Errorf("as another user: %v: %s", err, out)
	}
}
