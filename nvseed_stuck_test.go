//go:build unix

package rand

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestNVSeedStuckHoldersDoNotHoldUpOtherSeeds(t *testing.T) {
	a, pathA := newSeed(t)
	b, pathB := newSeed(t)
	c, _ := newSeed(t)
	holders := map[*NVSeed]*exec.Cmd{a: holdSeed(t, pathA, "locked"), b: holdSeed(t, pathB, "synced")}
	var wg sync.WaitGroup
	for s, holder := range holders {
		holder.Process.Signal(unix.SIGSTOP)
		s.wait = 300 * time.Millisecond
		wg.Go(func() {
			start := time.Now()
			_, err := s.Read(make([]byte, 48))
			if took := time.Since(start); err == nil || !strings.Contains(err.Error(), s.path+".lock: held by process "+strconv.Itoa(holder.Process.Pid)) || took > 3*time.Second {
				t.Errorf("after %v: %v", took, err)
			}
		})
	}
	start := time.Now()
	for range 10 {
		mustDraw(t, c, 48, "")
	}
	if took := time.Since(start); took > 250*time.Millisecond {
		t.Errorf("another seed took %v meanwhile", took)
	}
	wg.Wait()
}

func TestNVSeedLockFileMayBeRemoved(t *testing.T) {
	s, path := newSeed(t)
	opened, locked := 0, false
	s.step = func(step string) {
		switch step {
		case "lock opened":
			if opened++; opened <= 3 {
				os.Remove(path + ".lock")
			}
		case "locked":
			locked = true
			// A lock on a file without a name would keep nobody out.
			if _, err := seedHelper(t, "try", path).Output(); err == nil {
				t.Error("another process draws at the same time")
			}
		}
	}
	mustDraw(t, s, 48, "")
	if opened != 4 || !locked {
		t.Errorf("tried %d times", opened)
	}
}
