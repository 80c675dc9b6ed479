package rand

import (
	"encoding/binary"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// forkAtLooks forks at every reading of the counter in a Read, one after the other, and
// writes what parents and children return, a record each. No reading shows a pause: it is
// the page alone that shows the fork, which has wiped the child's secrets.
func forkAtLooks() {
	looks, at, child := 0, -1, -1
	c := &fakeCounter{step: 100}
	h := newHost()
	h.pause = c.detector()
	h.pause.read = func() uint64 {
		if looks == at && child < 0 {
			pid, errno := forkRaw(0, 0)
			if errno != 0 {
				panic(errno)
			}
			child = pid
		}
		looks++
		return c.read()
	}
	h.pause.readFenced = h.pause.read
	h.pause.clock = func() time.Time { return packageInit.clock }
	for _, size := range []int{16, 1008, 5008} {
		for _, depleted := range []bool{false, true} {
			for next := 0; ; next++ {
				at = -1
				g, err := newGenerator(&Config{}, h)
				orPanic(err)
				record := make([]byte, 4+size)
				_, err = g.Read(record[4:20])
				orPanic(err)
				if depleted {
					g.Deplete()
				}
				looks, at, child = 0, next, -1
				_, err = g.Read(record[4:])
				orPanic(err)
				binary.LittleEndian.PutUint32(record, uint32(size))
				if child > 0 {
					var status unix.WaitStatus
					if unix.Wait4(child, &status, 0, nil); status != 0 {
						panic("a child failed")
					}
				}
				for rest := record; len(rest) > 0; {
					n, _, errno := unix.RawSyscall(unix.SYS_WRITE, 3, uintptr(unsafe.Pointer(&rest[0])), uintptr(len(rest)))
					if errno != 0 {
						unix.RawSyscall(unix.SYS_EXIT_GROUP, 1, 0, 0)
					}
					rest = rest[n:]
				}
				if child == 0 {
					unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
				}
				if child < 0 {
					break // there is no such look
				}
			}
		}
	}
}

// A child whose secrets were wiped at any look of a Read returns no bytes of its parent, and
// none that another wiped child returns.
func TestForkAtEveryLook(t *testing.T) {
	needsSlab(t)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd := exec.Command(exe, "-test.run=^$")
	cmd.Env = append(os.Environ(), secretsEnv+"=looks/")
	cmd.ExtraFiles = []*os.File{w}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	r.SetReadDeadline(time.Now().Add(30 * time.Second))
	all, err := io.ReadAll(r)
	if err != nil {
		cmd.Process.Kill()
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	records, seen := 0, map[[blockLen]byte]bool{}
	for len(all) >= 4 {
		size := int(binary.LittleEndian.Uint32(all))
		if size > len(all)-4 {
			t.Fatal("half a record")
		}
		for b := all[4 : 4+size]; len(b) > 0; b = b[blockLen:] {
			if x := [blockLen]byte(b); seen[x] || x == [blockLen]byte{} {
				t.Fatalf("a Read of %d bytes repeats %x", size, x)
			} else {
				seen[x] = true
			}
		}
		records++
		all = all[4+size:]
	}
	if records < 30 {
		t.Errorf("%d Reads only", records)
	}
	t.Logf("%d Reads of parents and children", records)
}
