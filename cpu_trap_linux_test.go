//go:build amd64

package rand

import (
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// TestACounterThatIsForbiddenIsNotRead asks a child whose one thread may not execute
// RDTSC. Go's runtime executes it now and then, and dies of it: so the child has
// a few lives. What it must not do is to say that the counter can be read.
func TestACounterThatIsForbiddenIsNotRead(t *testing.T) {
	const ask = "CLONERAND_TEST_FORBID_TSC"
	if os.Getenv(ask) != "" {
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
		c := testBinary(t.Context(), "-test.run=^TestACounterThatIsForbiddenIsNotRead$")
		c.Env = append(os.Environ(), ask+"=1")
		out, _ := c.Output()
		switch c.ProcessState.ExitCode() {
		case 0:
			if want := "reading the TSC is forbidden to this process (prctl PR_SET_TSC)"; string(out) != want {
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
