//go:build unix && !aix

package rand

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	stopEnv   = "CLONERAND_TEST_STOP_CHILD"
	stops     = 100
	stopTime  = 5 * time.Millisecond
	stopShown = stopTime / 2 // a gap of this length in the child is a stop, or else the machine was elsewhere
)

// TestEveryStopIsNoticed stops a process that reads in a loop, and lets it go on. The
// child knows of the stops from the system's clock, which the generator does
// not read, and counts the bytes drawn for salts and seedings.
func TestEveryStopIsNoticed(t *testing.T) {
	if os.Getenv(stopEnv) != "" {
		readUntilKilled(t)
		return
	}
	if ok, why := hasCounter(); !ok {
		t.Skip(why)
	}
	c := testBinary(t.Context(), "-test.run=^TestEveryStopIsNoticed$")
	c.Env = append(os.Environ(), stopEnv+"=1")
	c.Stderr = os.Stderr
	pipe, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer c.Wait()
	defer c.Process.Kill()
	lines := bufio.NewScanner(pipe)
	found := make(chan string, 100*stops)
	next := func() string {
		if !lines.Scan() {
			t.Fatalf("the child has ended: %v", lines.Err())
		}
		return lines.Text()
	}
	if line := next(); line != "reading" && os.Getenv(emulatorEnv) != "" {
		t.Skip(line)
	} else if line != "reading" {
		t.Fatal(line)
	}
	go func() {
		defer close(found)
		for lines.Scan() {
			found <- lines.Text()
		}
	}()
	noticed, missed := 0, 0
	count := func(line string) {
		switch {
		case strings.HasPrefix(line, "noticed"):
			noticed++
		case strings.HasPrefix(line, "missed"):
			missed++
		default:
			t.Fatal(line)
		}
	}
	for range stops {
		if err := c.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		// The signal has stopped the child when the kernel says so to its parent.
		var status syscall.WaitStatus
		for {
			_, err := syscall.Wait4(c.Process.Pid, &status, syscall.WUNTRACED, nil)
			if err == syscall.EINTR {
				continue
			}
			if err != nil || !status.Stopped() {
				t.Fatalf("%v, %v", err, status)
			}
			break
		}
		time.Sleep(stopTime)
		if err := c.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		time.Sleep(stopTime)
	}
	time.Sleep(4 * stopTime)
	c.Process.Kill()
	// A gap that is no stop makes a line as well, and is to be noticed as well. A stop
	// that falls into the writing of a line lies between no two Reads: of 100 a few may.
	for line := range found {
		count(line)
	}
	if missed != 0 || noticed < stops*9/10 {
		t.Errorf("of %d stops %d were noticed and %d missed", stops, noticed, missed)
	}
}

func readUntilKilled(t *testing.T) {
	h := newHost()
	drawn := 0
	if random := h.random; random != nil {
		h.random = func() (x, y uint64, ok bool) { drawn++; return random() }
	}
	h.system = readerFunc(func(b []byte) (int, error) { drawn++; return cryptoReader.Read(b) })
	r := newReaderOn(h)
	time.Sleep(time.Millisecond)
	readN(t, r, 16)
	if l, why := h.pause.decided(); l == nil {
		fmt.Println("the counter is not usable: " + why)
		return
	}
	fmt.Println("reading")
	b := make([]byte, 16)
	before, last := drawn, time.Now()
	for end := last.Add(time.Minute); last.Before(end); {
		r.Read(b)
		now := time.Now()
		if now.Sub(last) < stopShown {
			before, last = drawn, now
			continue
		}
		// The stop fell before that Read had looked at the counter, or after it: then the
		// next one is to see it.
		r.Read(b)
		if drawn > before {
			fmt.Println("noticed", now.Sub(last))
		} else {
			fmt.Println("missed", now.Sub(last))
		}
		before, last = drawn, time.Now()
	}
}
