//go:build unix

package rand

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// mappedFile maps a new file of so many pages for reading and writing.
func mappedFile(t *testing.T, pages int) (f *os.File, memory []byte) {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "mapped"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	size := pages * os.Getpagesize()
	if err := f.Truncate(int64(size)); err != nil {
		t.Fatal(err)
	}
	memory, err = unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Munmap(memory) })
	return f, memory
}

// recovered reports whether f faults, as a program recovers from it that has mapped a file
// which somebody else truncates.
func recovered(t *testing.T, f func()) (faulted bool) {
	t.Helper()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(runtime.Error); !ok {
				panic(r)
			}
			faulted = true
		}
	}()
	f()
	return false
}

// A Read into memory that faults leaves no lock held, and what has reached the caller is
// never given again. The first half of the memory is good, or none of it, or it can be
// read but not written.
func TestAFaultInTheCallersMemory(t *testing.T) {
	pages := 1 + 200_000/os.Getpagesize()
	for _, source := range []*Config{{}, {Entropy: newSource("own")}, {Entropy: newSource("own"), Deterministic: true}} {
		for _, size := range []int{1, 16, 32, 33, 1024, 1025, 70_000, 200_000} {
			g, err := New(source)
			if err != nil {
				t.Fatal(err)
			}
			f, memory := mappedFile(t, 2*pages)
			half := pages * os.Getpagesize()
			var got [][]byte
			for i := range 64 {
				b := memory[half-size/2:][:size]
				clear(b)
				switch i % 3 {
				case 0:
					f.Truncate(int64(half))
				case 1:
					f.Truncate(0)
				case 2:
					if err := unix.Mprotect(memory, unix.PROT_READ); err != nil {
						t.Fatal(err)
					}
				}
				for _, read := range []readFunc{g.Read, defaultReader.Read} {
					if !recovered(t, func() { read(b) }) || !recovered(t, func() { onFastPath(read); read(b) }) {
						t.Fatalf("%d bytes: no fault", size)
					}
				}
				if i%3 == 0 && size > 1 {
					got = append(got, bytes.Clone(b[:size/2])) // what a program may have used
				}
				if err := unix.Mprotect(memory, unix.PROT_READ|unix.PROT_WRITE); err != nil {
					t.Fatal(err)
				}
				if err := f.Truncate(int64(len(memory))); err != nil {
					t.Fatal(err)
				}
				got = append(got, readN(t, g, max(size, 48)))
			}
			noBlockTwice(t, got)
			notLocked(t, defaultReader)
			notLocked(t, &g.pool)
		}
	}
}

// A fault after a restore wipes the state, and with it what told it from other clones. No
// reading shows that, and the kernel and the counter may be those of the others.
func TestAFaultInTheCallersMemoryOfAClone(t *testing.T) {
	_, memory := mappedFile(t, 2)
	if err := unix.Mprotect(memory[len(memory)/2:], unix.PROT_READ); err != nil {
		t.Fatal(err)
	}
	w := newWorld(0)
	w.cpu, w.step = nil, 25
	r := rested(t, w, 20*ms)
	var later [200][]byte
	for i := range later {
		w := w.clone()
		r := cloneReader(r, w)
		jitter := jitterOf(i)
		w.before = func(look int) {
			if look > 0 {
				w.jitter = jitter
			}
		}
		if !recovered(t, func() { r.Read(memory) }) {
			t.Fatal("no fault")
		}
		later[i] = readN(t, r, 48)
	}
	if anyTwice(later[:]...) {
		t.Errorf("two of %d clones have a block in common", len(later))
	}
}

// onFastPath uses up what is mixed since the last pause, so that the next Read is served
// on the fast path, but for a pause.
func onFastPath(read readFunc) {
	var b [16]byte
	for range 2 * bufferLen / blockLen {
		read(b[:])
	}
}

// A state that a fault or a fork has cleared is seeded with the personalization again.
func TestPersonalizationOfAStateThatWasCleared(t *testing.T) {
	_, memory := mappedFile(t, 32)
	if err := unix.Mprotect(memory, unix.PROT_READ); err != nil {
		t.Fatal(err)
	}
	for name, clear := range map[string]func(t *testing.T, g *Generator, page *uint64, s *countingSource){
		"fault": func(t *testing.T, g *Generator, _ *uint64, _ *countingSource) {
			if !recovered(t, func() { g.Read(memory) }) {
				t.Error("no fault")
			}
			if g.state().drbg != (ctrDRBG{}) {
				t.Error("the state is not cleared")
			}
		},
		"fork": func(t *testing.T, g *Generator, page *uint64, s *countingSource) {
			g.Deplete()
			s.setOnDraw(func(int) { // in the middle of the Read
				*g.state().secrets = secrets{}
				*page = 0
				s.onDraw = nil
			})
		},
	} {
		read := func(perso string) []byte {
			s, page := newSource("own"), new(uint64)
			h := quietHost(newSource(""))
			h.clones.forkPage = func() (*uint64, string) { return page, "" }
			h.pause.clock = func() time.Time { return packageInit.clock }
			g, err := newGenerator(&Config{Entropy: s, Deterministic: true, Personalization: []byte(perso)}, h)
			if err != nil {
				t.Fatal(err)
			}
			clear(t, g, page, s)
			return readN(t, g, 16)
		}
		if !bytes.Equal(read("a"), read("a")) {
			t.Fatalf("%s: two that are alike read different bytes, so this test shows nothing", name)
		}
		if bytes.Equal(read("a"), read("b")) {
			t.Errorf("%s: the personalization is lost", name)
		}
	}
}

// The same where the file is truncated while the Read goes on.
func TestAFaultInTheMiddleOfARead(t *testing.T) {
	g, err := New(&Config{Entropy: newSource("own")})
	if err != nil {
		t.Fatal(err)
	}
	f, memory := mappedFile(t, 64)
	var got [][]byte
	faults := 0
	for range 64 {
		done := make(chan bool)
		go func() {
			defer close(done)
			time.Sleep(20 * time.Microsecond)
			f.Truncate(int64(len(memory) / 2))
		}()
		if recovered(t, func() {
			for range 100 {
				g.Read(memory)
			}
		}) {
			faults++
			got = append(got, bytes.Clone(memory[:4096]))
		}
		<-done
		if err := f.Truncate(int64(len(memory))); err != nil {
			t.Fatal(err)
		}
		got = append(got, readN(t, g, 100_000))
	}
	if faults == 0 {
		t.Error("no Read has faulted")
	}
	noBlockTwice(t, got)
	notLocked(t, &g.pool)
}

// noBlockTwice looks at the blocks of what Reads have returned, or left behind.
func noBlockTwice(t *testing.T, reads [][]byte) {
	t.Helper()
	var blocks []block
	for _, b := range reads {
		blocks = append(blocks, blocksOf(b)...)
	}
	blocks = slices.DeleteFunc(blocks, func(x block) bool {
		return bytes.Count(x[:], []byte{0}) > blockLen/2 // cleared, or not written
	})
	if anyTwice(flat(blocks)) {
		t.Fatal("16 bytes came twice")
	}
}

// Many goroutines that fault do not stop those that do not.
func TestFaultsBesideReads(t *testing.T) {
	f, memory := mappedFile(t, 1)
	if err := f.Truncate(0); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if !recovered(t, func() { onFastPath(Read); Read(memory[:16]) }) || !recovered(t, func() { Read(memory[:1000]) }) {
			t.Fatal("no fault")
		}
	}
	done := make(chan error)
	for range 32 {
		go func() {
			b := make([]byte, 64)
			_, err := defaultReader.Read(b)
			if err == nil && bytes.Equal(b, make([]byte, 64)) {
				err = errors.New("nothing was read")
			}
			done <- err
		}()
	}
	for range 32 {
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("a Read hangs")
		}
	}
}

const (
	stops     = 100
	stopTime  = 5 * time.Millisecond
	stopShown = stopTime / 2 // a gap of this length in the child is a stop, or else the machine was elsewhere
)

// TestEveryStopIsNoticed stops a process that reads in a loop, and lets it go on. The
// child knows of the stops from the system's clock, which the generator does
// not read, and counts the bytes drawn for salts and seedings.
func TestEveryStopIsNoticed(t *testing.T) {
	if isAgain() {
		readUntilKilled(t)
		return
	}
	if ok, why := hasCounter(); !ok {
		t.Skip(why)
	}
	c := itself(t, againEnv)
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
	untraced := 2 // WUNTRACED of <sys/wait.h>, which package syscall lacks on AIX
	if runtime.GOOS == "illumos" || runtime.GOOS == "solaris" {
		untraced = 4
	}
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
			_, err := syscall.Wait4(c.Process.Pid, &status, untraced, nil)
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

// cancelWithChildren gives cmd a process group of its own, so that no child of one that hangs is
// left over.
func cancelWithChildren(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
