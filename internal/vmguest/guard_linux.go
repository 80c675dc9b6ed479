//go:build amd64 || arm64

package vmguest

import (
	"bufio"
	"fmt"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/clonerand/rand/internal/probe"
)

// TickLog is the name of the log of what clonerand guard has done. A record is a tick, and ends at the counter that the
// guard says.
const TickLog = "ticks"

func tickSpec() probe.Spec {
	return probe.Spec{Name: TickLog, Chunks: 24, Records: 1 << 9, Bytes: 16, After: 5}
}

// guard runs clonerand guard and records its ticks.
func guard(ticks *probe.Log) error {
	cmd := exec.Command("/clonerand", "guard", "-v")
	out, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := startFirst(cmd); err != nil {
		return err
	}
	last := ""
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var n, counter uint64
		last = lines.Text()
		if !strings.HasPrefix(last, "tick ") {
			continue
		}
		if _, err := fmt.Sscanf(last, "tick %d cycle counter %d", &n, &counter); err != nil {
			cmd.Process.Kill() // its clock says nothing of the reads beside it
			break
		}
		ticks.Begin(counter, 0)
		ticks.End(counter)
	}
	return fmt.Errorf("clonerand guard ended: %v: %s", cmd.Wait(), last)
}

// startFirst starts a program that the scheduler prefers, as the unit of docs/hooks.md has it. A child has what the
// thread has that starts it.
func startFirst(cmd *exec.Cmd) error {
	runtime.LockOSThread() // for good: the thread ends with its goroutine
	fifo := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 1}
	if err := unix.SchedSetAttr(0, &fifo, 0); err != nil {
		return fmt.Errorf("sched_setattr: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	return unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_NORMAL}, 0)
}
