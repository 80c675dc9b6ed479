package rand

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A power failure can not be had in a test. That nothing is handed out before
// the next seed is on the disk can be seen in the order of the system calls.
func TestNVSeedIsDurableBeforeItsOutput(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("needs strace:", err)
	}
	_, path := newSeed(t)
	log := filepath.Join(t.TempDir(), "log")
	cmd := seedHelper(t, "draw", path, "1")
	cmd.Args = append([]string{strace, "-f", "-o", log, "-e", "trace=openat,?fcntl,?fcntl64,write,fsync,?rename,?renameat,?renameat2", cmd.Path}, cmd.Args[1:]...)
	cmd.Path = strace
	out, err := cmd.Output()
	if err != nil && len(out) == 0 {
		t.Skip("strace can not trace here:", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	dir, file := regexp.QuoteMeta(filepath.Dir(path)), regexp.QuoteMeta(path)
	rest := string(mustReadFile(t, log))
	for _, call := range []string{
		`fcntl(?:64)?\(\d+, F_SETLK(?:64)?, \{l_type=F_WRLCK.*= 0\n`,
		`openat\(.*"` + file + `", O_RDONLY`,
		`openat\(.*"` + file + `\.next", O_WRONLY\|O_CREAT\|O_EXCL\|.*, 0600\) = \d+\n`,
		`write\(\d+, .*, 64\) += 64\n`,
		`fsync\(\d+\) += 0\n`,
		`rename.*"` + file + `\.next", .*"` + file + `".*= 0\n`,
		`openat\(.*"` + dir + `", O_RDONLY`,
		`fsync\(\d+\) += 0\n`,
		`write\(1, "` + strings.TrimSpace(string(out))[:32], // strace shows the beginning
	} {
		at := regexp.MustCompile(call).FindStringIndex(rest)
		if at == nil {
			t.Fatalf("no %s in what is left of the draw:\n%s\nall of it:\n%s", call, rest, mustReadFile(t, log))
		}
		rest = rest[at[1]:]
	}
}
