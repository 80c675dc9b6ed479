package rand

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestForks: no two processes of a family share eight bytes in a row, at whatever
// place in their outputs, under anything that guards; and each case would share
// them without.
func TestForks(t *testing.T) {
	for _, c := range forkCases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for guard := range forkGuards {
				if strings.HasPrefix(guard, "control:") {
					continue
				}
				if raceEnabled && guard != "the default reader" {
					continue // a process under the race detector forks slowly
				}
				t.Run(guard, func(t *testing.T) {
					records := runForkCase(t, c, guard)
					if a, b, shared := sharedBytes(records); shared > 0 {
						t.Errorf("%q and %q share bytes, %d times in all", a, b, shared)
					}
				})
			}
			control := guardNone
			if c.blind {
				control = guardPIDOnly
			}
			if c.fresh {
				return // nothing to be copied
			}
			t.Run(control, func(t *testing.T) {
				records := runForkCase(t, c, control)
				if _, _, shared := sharedBytes(records); shared == 0 {
					t.Error("no bytes are shared even without a guard: this case shows nothing")
				}
			})
		})
	}
}

// The process ID, where it does tell, is enough for a generator with its own entropy.
func TestForksByProcessID(t *testing.T) {
	for _, c := range forkCases {
		if c.blind {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			records := runForkCase(t, c, guardPIDOnly)
			if a, b, shared := sharedBytes(records); shared > 0 {
				t.Errorf("%q and %q share bytes, %d times in all", a, b, shared)
			}
		})
	}
}

func runForkCase(t *testing.T, c forkCase, guard string) []record {
	t.Helper()
	out := runForkHelper(t, c.name+"/"+guard, c.blind, 30*time.Second)
	records, err := parseRecords(out)
	if err != nil {
		t.Fatal(err)
	}
	if len(records) != c.records {
		t.Fatalf("%d outputs, want %d", len(records), c.records)
	}
	if c.blind {
		for _, r := range records {
			if r.pid != records[0].pid {
				t.Fatalf("process IDs %d and %d: this is not a case that the ID does not show", records[0].pid, r.pid)
			}
		}
	}
	return records
}

// runForkHelper runs a helper process and returns what it and its children wrote.
func runForkHelper(t *testing.T, role string, namespace bool, limit time.Duration) []byte {
	t.Helper()
	skipEmulated(t, "a child forked past the runtime hangs in the emulator now and then")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := testBinary(ctx)
	cmd.Env = append(os.Environ(), forkHelperEnv+"="+role)
	cmd.ExtraFiles = []*os.File{w} // recordFD
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	// A group of its own, so that no child of a helper that hangs is left over.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if namespace {
		inNewPIDNamespace(cmd.SysProcAttr)
	}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	err = cmd.Start()
	w.Close()
	if namespace && errors.Is(err, unix.EPERM) {
		t.Skipf("this machine refuses a new PID namespace: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	// After the helper's end its children can still hold the pipe, so it is read first.
	out, readErr := io.ReadAll(r)
	err = cmd.Wait()
	unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
	switch {
	case ctx.Err() != nil:
		t.Fatalf("the helper process did not end in %v\n%s", limit, &stderr)
	case cmd.ProcessState.ExitCode() == refusedCode:
		t.Skipf("this machine refuses it: %s", strings.TrimSpace(stderr.String()))
	case err != nil:
		t.Fatalf("helper process: %v\n%s", err, &stderr)
	case readErr != nil:
		t.Fatal(readErr)
	}
	return out
}

// inNewPIDNamespace: who is not root needs a user namespace around it.
func inNewPIDNamespace(a *syscall.SysProcAttr) {
	a.Cloneflags = unix.CLONE_NEWPID
	if os.Geteuid() != 0 {
		a.Cloneflags |= unix.CLONE_NEWUSER
		a.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		a.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
}

// sharedBytes looks at eight bytes from every place of every output, so that it
// finds equal outputs, shifted ones and single blocks alike. It counts what is
// there twice, and names the first two who share.
func sharedBytes(records []record) (a, b string, shared int) {
	type window struct {
		bytes uint64
		of    int
	}
	var windows []window
	for i, r := range records {
		for p := 0; p+8 <= len(r.out); p++ {
			windows = append(windows, window{binary.LittleEndian.Uint64(r.out[p:]), i})
		}
	}
	slices.SortFunc(windows, func(x, y window) int {
		if x.bytes != y.bytes {
			if x.bytes < y.bytes {
				return -1
			}
			return 1
		}
		return x.of - y.of
	})
	for i := 1; i < len(windows); i++ {
		if windows[i].bytes == windows[i-1].bytes {
			if shared++; shared == 1 {
				a, b = records[windows[i-1].of].who, records[windows[i].of].who
			}
		}
	}
	return a, b, shared
}

// What finds shared bytes finds them.
func TestSharedBytes(t *testing.T) {
	x := []byte("0123456789abcdefghijklmnopqrstuv")
	other := []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
	for _, c := range []struct {
		name string
		a, b []byte
		want int
	}{
		{"equal", x, x, len(x) - 7},
		{"different", x, other, 0},
		{"shifted by one", x, x[1:], len(x) - 1 - 7},
		{"one chunk at another place", append(bytes.Clone(other), x[8:16]...), x, 1},
		{"seven bytes", append(bytes.Clone(other), x[8:15]...), x, 0},
		{"twice in one", append(bytes.Clone(x), x[:8]...), other, 1},
	} {
		if _, _, got := sharedBytes([]record{{out: c.a}, {out: c.b}}); got != c.want {
			t.Errorf("%s: %d shared, want %d", c.name, got, c.want)
		}
	}
}
