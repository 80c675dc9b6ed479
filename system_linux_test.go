package rand

import (
	"bytes"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const (
	readsBegin = "clonerand reads begin"
	readsEnd   = "clonerand reads end"
)

// TestSmallReadsMakeNoSystemCalls counts the system calls of 100,000 small Reads by
// name: none for random bytes and none for the process ID, but for pauses of the machine.
// What the Go runtime does meanwhile, such as futex, is not counted. The getrandom of Linux 6.11 is
// in the vDSO.
func TestSmallReadsMakeNoSystemCalls(t *testing.T) {
	if isAgain() {
		// The first Read of a thread and of a shard may make some. The stack, by which the
		// shard is found, is as deep as it gets after the first mark.
		runtime.LockOSThread()
		var b [16]byte
		mark("clonerand reads warm up")
		for range 10_000 {
			Read(b[:])
		}
		mark(readsBegin)
		for i := range 100_000 {
			Read(b[:1+i%16])
		}
		mark(readsEnd)
		return
	}
	strace, err := exec.LookPath("strace")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("strace is not installed")
		}
		t.Skip("strace is not installed")
	}
	if strconv.IntSize == 32 {
		t.Skip("the vDSO of a 32-bit process has no getrandom")
	}
	if !kernelAtLeast(6, 11) {
		t.Skip("the kernel is older than Linux 6.11, whose vDSO has getrandom")
	}
	if thisHost.clones.current().page == nil {
		t.Skip("no page is wiped on fork here: the process ID is asked for after pauses")
	}
	if raceEnabled {
		t.Skip("under the race detector everything takes longer than a pause")
	}
	trace := t.TempDir() + "/trace"
	cmd := exec.CommandContext(t.Context(), strace, "-f", "-o", trace, "-e", "trace=getrandom,getpid,write",
		os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), againEnv,
		"GODEBUG=asyncpreemptoff=1") // with it the runtime asks for the process ID to signal its threads
	if out, err := cmd.CombinedOutput(); err != nil {
		if bytes.Contains(out, []byte("ptrace")) {
			t.Skipf("this machine does not let strace trace: %s", out)
		}
		t.Fatalf("%v\n%s", err, out)
	}
	text, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	_, text, begun := bytes.Cut(text, []byte(readsBegin))
	text, _, ended := bytes.Cut(text, []byte(readsEnd))
	if !begun || !ended {
		t.Fatal("the marks are not in the trace")
	}
	calls := map[string]int{}
	for _, m := range regexp.MustCompile(`(?m)^\d+ +(getrandom|getpid)\(.*$`).FindAllStringSubmatch(string(text), -1) {
		calls[m[1]]++
	}
	t.Logf("in 100,000 small reads: %v", calls)
	// On a busy machine a few pauses are longer than 10 ms, and then the process ID is
	// looked at; or a buffer was mixed, and its refill reseeds.
	if calls["getrandom"] > 10 || calls["getpid"] > 200 {
		t.Errorf("system calls in 100,000 small reads: %v", calls)
	}
}

// mark makes a system call that is found in the trace.
func mark(s string) { unix.Write(-1, []byte(s)) }

func kernelAtLeast(major, minor int) bool {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return false
	}
	var haveMajor, haveMinor int
	release := strings.SplitN(unix.ByteSliceToString(u.Release[:]), ".", 3)
	for i, to := range []*int{&haveMajor, &haveMinor} {
		if i < len(release) {
			for _, c := range release[i] {
				if c < '0' || c > '9' {
					break
				}
				*to = *to*10 + int(c-'0')
			}
		}
	}
	return haveMajor > major || haveMajor == major && haveMinor >= minor
}

// TestACounterThatIsForbiddenIsNotRead asks a child whose one thread may not read the
// counter. Go's runtime reads it now and then, and dies of it: so the child has
// a few lives. What it must not do is to say that the counter can be read.
func TestACounterThatIsForbiddenIsNotRead(t *testing.T) {
	if runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		t.Skip("no counter is read here")
	}
	if isAgain() {
		runtime.LockOSThread()
		_, _, errno := unix.RawSyscall6(unix.SYS_PRCTL, unix.PR_SET_TSC, unix.PR_TSC_SIGSEGV, 0, 0, 0, 0)
		ok, why := hasCounter()
		unix.RawSyscall6(unix.SYS_PRCTL, unix.PR_SET_TSC, unix.PR_TSC_ENABLE, 0, 0, 0, 0)
		switch {
		case errno != 0:
			os.Stdout.WriteString("prctl: " + errno.Error())
			os.Exit(3)
		case ok:
			os.Stdout.WriteString("usable")
			os.Exit(4)
		}
		os.Stdout.WriteString(why)
		os.Exit(0)
	}
	for range 20 {
		c := itself(t, againEnv)
		out, _ := c.Output()
		switch c.ProcessState.ExitCode() {
		case 0:
			if want := "reading the counter is forbidden to this process (prctl PR_SET_TSC)"; string(out) != want {
				t.Errorf("%q, not %q", out, want)
			}
			return
		case 3:
			t.Skip(string(out))
		case 4:
			t.Fatal("the counter is said to be usable")
		}
	}
	t.Error("no child has lived long enough to answer")
}
