//go:build amd64 || arm64

package vmguest

import (
	"bufio"
	"fmt"
	"os/exec"

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
	if err := cmd.Start(); err != nil {
		return err
	}
	last := ""
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var n, counter uint64
		if _, err := fmt.Sscanf(lines.Text(), "tick %d counter %d", &n, &counter); err != nil {
			last = lines.Text()
			continue
		}
		ticks.Begin(counter, 0)
		ticks.End(counter)
	}
	return fmt.Errorf("clonerand guard ended: %v: %s", cmd.Wait(), last)
}
