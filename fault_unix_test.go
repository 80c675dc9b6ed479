//go:build unix

package rand

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
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

// onFastPath uses up what is mixed since the last pause, so that the next Read is served
// on the fast path, but for a pause.
func onFastPath(read readFunc) {
	var b [16]byte
	for range 2 * bufferLen / blockLen {
		read(b[:])
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
	seen := make(map[block]bool)
	for _, b := range reads {
		for _, x := range blocksOf(b) {
			if bytes.Count(x[:], []byte{0}) > blockLen/2 {
				continue // cleared, or not written
			}
			if seen[x] {
				t.Fatalf("16 bytes came twice")
			}
			seen[x] = true
		}
	}
}

func notLocked(t *testing.T, p *pool) {
	t.Helper()
	states := p.shards.Load().states
	for i := range states {
		if s := states[i].Load(); s != nil && s.lock.held != 0 {
			t.Errorf("shard %d of %d is locked", i, len(states))
		}
	}
}

// A panic or a Goexit in Entropy leaves no lock held, and nothing in b that was not
// checked.
func TestEntropyThatDoesNotReturn(t *testing.T) {
	for name, leave := range map[string]func(){"panic": func() { panic("Entropy") }, "Goexit": runtime.Goexit} {
		for _, size := range []int{16, 1024, 200_000} {
			s := newSource("own")
			g, err := New(&Config{Entropy: s, ReseedInterval: 1})
			if err != nil {
				t.Fatal(err)
			}
			s.setOnDraw(func(int) { leave() })
			b := bytes.Repeat([]byte{0xaa}, size)
			if size <= maxSmall {
				g.Deplete() // else it is asked in the middle, for the second request
			}
			returned := false
			done := make(chan bool)
			go func() {
				defer close(done)
				defer func() { recover() }()
				g.Read(b)
				returned = true
			}()
			if <-done; returned {
				t.Fatalf("%s, %d bytes: Entropy was not asked", name, size)
			}
			if !bytes.Equal(b, make([]byte, size)) {
				t.Errorf("%s, %d bytes: something is left in the slice", name, size)
			}
			notLocked(t, &g.pool)
			s.setOnDraw(nil)
			readN(t, g, size)
		}
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
