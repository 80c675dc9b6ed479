package rand_test

import (
	"context"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const poolRole = "CLONERAND_TEST_POOL"

// The pool of ExampleGeneration is dropped in a forked child, and kept in the parent.
// The control is a pool that does not look at Generation: both take the same.
func TestForkedChildTakesNoSessionIDOfItsParent(t *testing.T) {
	if role := os.Getenv(poolRole); role != "" {
		forkWithPool(role)
	}
	if os.Getenv("CLONERAND_TEST_EMULATOR") != "" {
		t.Skip("user-mode emulation: a child forked past the runtime hangs in the emulator now and then")
	}
	for role, want := range map[string]bool{"looks": false, "does not look": true} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		c := exec.CommandContext(ctx, os.Args[0], "-test.run=^"+t.Name()+"$")
		c.Env = append(os.Environ(), poolRole+"="+role)
		c.Stderr = os.Stderr
		// A child that hangs is a failure, and does not keep the test waiting.
		c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		c.Cancel = func() error { return unix.Kill(-c.Process.Pid, unix.SIGKILL) }
		out, err := c.Output()
		ids := strings.Fields(string(out))
		if err != nil || len(ids) != 2 {
			t.Fatalf("%s: %v: %q", role, err, out)
		}
		if got := ids[0] == ids[1]; got != want {
			t.Errorf("%s: child and parent took %q", role, ids)
		}
	}
}

// forkWithPool forks by a system call that the runtime knows nothing of. Child and
// parent each print the ID that they took, and end.
func forkWithPool(role string) {
	debug.SetGCPercent(-1) // a collection would wait for threads that the child does not have
	pool := new(sessionIDs)
	pool.take()
	flags, stack := uintptr(unix.SIGCHLD), uintptr(0)
	if runtime.GOARCH == "s390x" { // takes them the other way round
		flags, stack = stack, flags
	}
	ready := slices.Clone(pool.ready)
	// A goroutine that is to be preempted when it forks is preempted in the child. Were
	// it locked to its thread it would wait for another one to run it, for ever. So it is
	// not locked, and begins a new time slice here.
	runtime.Gosched()
	pid, _, errno := unix.RawSyscall6(unix.SYS_CLONE, flags, stack, 0, 0, 0, 0)
	if errno != 0 {
		println("fork:", errno.Error())
		os.Exit(3)
	}
	id := ready[0]
	if role == "looks" {
		id = pool.take()
	}
	line := []byte(id + "\n")
	unix.RawSyscall(unix.SYS_WRITE, 1, uintptr(unsafe.Pointer(&line[0])), uintptr(len(line)))
	if pid != 0 {
		unix.Wait4(int(pid), nil, 0, nil)
	}
	unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
}
