package rand

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// forkSeed forks for real. The child runs f, hands its 48 bytes (or words about
// its error) to the parent and ends. It has one thread. The goroutine is not locked
// to it: if it was told to yield at the moment of the fork, a locked one would wait
// for a thread that the child has not.
func forkSeed(f func(out []byte) error) (result func() (string, error), err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, err
	}
	flags, stack := uintptr(unix.SIGCHLD), uintptr(0)
	if runtime.GOARCH == "s390x" { // takes them the other way round
		flags, stack = stack, flags
	}
	pid, _, errno := unix.RawSyscall6(unix.SYS_CLONE, flags, stack, 0, 0, 0, 0)
	if errno != 0 {
		return nil, errno
	}
	if pid == 0 {
		// 'b' and bytes, or 'e' and an error.
		message := make([]byte, 1+48, 512)
		message[0] = 'b'
		if err := f(message[1:]); err != nil {
			message = append(append(message[:0], 'e'), err.Error()...)
		}
		unix.RawSyscall(unix.SYS_WRITE, uintptr(fds[1]), uintptr(unsafe.Pointer(&message[0])), uintptr(len(message)))
		unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
	}
	unix.Close(fds[1])
	return func() (string, error) {
		defer unix.Close(fds[0])
		// A child that hangs is a failure, and not the end of this test. It says where.
		if !waitReadable(fds[0], 20_000) {
			unix.Kill(int(pid), unix.SIGQUIT)
			waitReadable(fds[0], 1_000)
			unix.Kill(int(pid), unix.SIGKILL)
			return "", errors.New("the child hangs")
		}
		var b [512]byte
		n, err := unix.Read(fds[0], b[:])
		unix.Wait4(int(pid), nil, 0, nil)
		switch {
		case err != nil || n == 0:
			return "", fmt.Errorf("the child said nothing (%v)", err)
		case b[0] == 'e':
			return "", errors.New(string(b[1:n]))
		}
		return string(b[1:n]), nil
	}, nil
}

func waitReadable(fd, milliseconds int) bool {
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, milliseconds)
		if err != unix.EINTR {
			return n == 1
		}
	}
}

// blindHost is a machine without any detector but one word of memory that all
// forked children share: a fork is then the copy of a whole system.
func blindHost(t testing.TB) (h *host, bump func()) {
	t.Helper()
	page, err := unix.Mmap(-1, 0, unix.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	words := unsafe.Slice((*uint64)(unsafe.Pointer(&page[0])), 1)
	still := neverPaused()
	still.read = func() uint64 { return 1 }
	still.readFenced = still.read
	still.clock = func() time.Time { return packageInit.clock }
	return &host{
		clones: &cloneWatch{
			forkPage: func() (*uint64, string) { return nil, "left out" },
			identity: func() int { return 1 },
			signals:  []func() signal{func() signal { return signal{name: "test", memory: words, watch: []int{0}} }},
		},
		pause:  still,
		system: readerFunc(func(b []byte) (int, error) { clear(b); return len(b), nil }), // the same in all
	}, func() { atomic.AddUint64(&words[0], 1) }
}

// A seedForkCase runs in a process of its own, since one with other threads that
// allocate may leave a child without an allocator. It returns all outputs that
// must differ.
var seedForkCases = map[string]func(t *testing.T, path string) []string{
	// One thing after the other, and nothing but the seed to tell parent and child apart.
	"parent and child reading the seed": func(t *testing.T, path string) (all []string) {
		s := openSeed(t, path)
		s.stamp = frozen
		for range 10 {
			all = append(all, children(t, 2, func(int) func([]byte) error { return readAll(s) })...)
			all = append(all, string(mustDraw(t, s, 48, "")))
		}
		return all
	},
	"parent and child reseeding from one file": func(t *testing.T, path string) (all []string) {
		h, _ := blindHost(t) // so that no detector does it for them
		g := seedGenerator(t, path, frozen, h)
		reseed := func([]byte) error { return g.Reseed(nil) }
		all = append(all, children(t, 1, func(int) func([]byte) error { return both(reseed, readAll(g)) })...)
		if err := g.Reseed(nil); err != nil {
			t.Fatal(err)
		}
		return append(all, mustRead(t, g))
	},
	"noticed forks reseed by themselves": func(t *testing.T, path string) []string {
		g := seedGenerator(t, path, frozen, newHost())
		all := []string{mustRead(t, g)}
		all = append(all, children(t, 5, func(int) func([]byte) error { return readAll(g) })...)
		return append(all, mustRead(t, g))
	},
	"50 children in close sequence": func(t *testing.T, path string) []string {
		g := seedGenerator(t, path, frozen, newHost())
		return append(children(t, 50, func(int) func([]byte) error { return readAll(g) }), mustRead(t, g))
	},
	"50 children in close sequence with PID alone": func(t *testing.T, path string) []string {
		h := newHost()
		h.clones.forkPage = func() (*uint64, string) { return nil, "left out" }
		g := seedGenerator(t, path, frozen, h)
		return append(children(t, 50, func(int) func([]byte) error { return readAll(g) }), mustRead(t, g))
	},
	"systems copied with a personalization each": func(t *testing.T, path string) []string {
		h, _ := blindHost(t)
		g := seedGenerator(t, path, frozen, h)
		return children(t, 10, func(i int) func([]byte) error {
			own := moveSeed(t, g, path, i)
			perso := func([]byte) error { own(nil); return g.Reseed(fmt.Appendf(nil, "serial number %d", i)) }
			return both(perso, readAll(g))
		})
	},
	"systems copied, noticed, and told who they are": func(t *testing.T, path string) []string {
		h, bump := blindHost(t)
		g := seedGenerator(t, path, frozen, h)
		bump()
		return children(t, 10, func(i int) func([]byte) error {
			own := moveSeed(t, g, path, i)
			perso := func([]byte) error { own(nil); return g.Reseed(fmt.Appendf(nil, "serial number %05d", i)) }
			return both(perso, readAll(g))
		})
	},
	"systems copied one by one after a reseed each": func(t *testing.T, path string) (all []string) {
		h, _ := blindHost(t)
		g := seedGenerator(t, path, frozen, h)
		for i := range 10 {
			if err := g.Reseed(nil); err != nil {
				t.Fatal(err)
			}
			all = append(all, children(t, 1, func(int) func([]byte) error { return both(moveSeed(t, g, path, i), readAll(g)) })...)
		}
		if err := g.Reseed(nil); err != nil {
			t.Fatal(err)
		}
		return append(all, mustRead(t, g))
	},
}

// What the above would come to without the reseed, personalization or notice: it
// shows that the copies are copies.
func TestSeedSystemsCopiedUnnoticedRepeat(t *testing.T) {
	inSeedProcess(t, func(t *testing.T, path string) {
		h, _ := blindHost(t)
		g := seedGenerator(t, path, frozen, h)
		all := children(t, 5, func(i int) func([]byte) error { return both(moveSeed(t, g, path, i), readAll(g)) })
		for _, out := range all {
			if out != all[0] {
				t.Error("copies of one state and one file differ, so the other tests prove nothing")
			}
		}
	})
}

func TestSeedSystemsCopiedAndNoticedSayErrCloned(t *testing.T) {
	inSeedProcess(t, func(t *testing.T, path string) {
		h, bump := blindHost(t)
		g := seedGenerator(t, path, frozen, h)
		mustRead(t, g)
		read := func(i int, before ...func([]byte) error) error {
			result, err := forkSeed(both(append(before, moveSeed(t, g, path, i), readAll(g))...))
			if err != nil {
				t.Fatal(err)
			}
			_, err = result()
			return err
		}
		bump()
		for i, c := range []struct {
			name   string
			before func([]byte) error
		}{
			{"no personalization", func([]byte) error { return nil }},
			{"Reseed(nil)", func([]byte) error { g.Reseed(nil); return nil }},
			{"15 bytes", func([]byte) error { g.Reseed(make([]byte, 15)); return nil }},
			{"Deplete", func([]byte) error { g.Deplete(); return nil }},
		} {
			if err := read(i, c.before); err == nil || err.Error() != ErrCloned.Error() {
				t.Errorf("%s: %v", c.name, err)
			}
		}
	})
}

func TestSeedForks(t *testing.T) {
	for name, f := range seedForkCases {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			inSeedProcess(t, func(t *testing.T, path string) {
				all := f(t, path)
				seen := map[string]int{}
				for i, out := range all {
					for j := 0; j+8 <= len(out); j += 8 {
						if first, ok := seen[out[j:j+8]]; ok {
							t.Fatalf("outputs %d and %d share 8 bytes", first, i)
						}
						seen[out[j:j+8]] = i
					}
				}
				t.Logf("%d outputs", len(all))
			})
		})
	}
}

// Threads draw while one forks; the child finds their locks as they were and
// must draw all the same.
func TestSeedForkInTheMiddleOfADraw(t *testing.T) {
	inSeedProcess(t, func(t *testing.T, path string) {
		s := openSeed(t, path)
		held := make(chan bool)
		goOn := make(chan bool)
		holder := *s
		holder.step = func(step string) {
			if step == "derived" {
				held <- true
				<-goOn
			}
		}
		for round := range 5 {
			go holder.Read(make([]byte, 48))
			<-held
			child := *s
			child.wait = 0 // the lock of the parent is the file's, and it holds that
			result, err := forkSeed(readAll(&child))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := result(); err == nil || !strings.Contains(err.Error(), ".lock: held by process "+strconv.Itoa(os.Getpid())) {
				t.Errorf("round %d, while the parent holds the lock: %v", round, err)
			}
			child.wait = nvSeedWait
			result, err = forkSeed(readAll(&child))
			if err != nil {
				t.Fatal(err)
			}
			goOn <- true
			if _, err := result(); err != nil {
				t.Errorf("round %d, when the parent has finished: %v", round, err)
			}
		}
	})
}

func inSeedProcess(t *testing.T, f func(t *testing.T, path string)) {
	t.Helper()
	skipEmulated(t, "a child forked past the runtime hangs in the emulator now and then")
	_, path := newSeed(t)
	if os.Getenv("CLONERAND_TEST_SEED_FORK") == "" {
		rerun(t, "CLONERAND_TEST_SEED_FORK=1")
		return
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	f(t, path)
}

func seedGenerator(t *testing.T, path string, stamp func() []byte, h *host) *Generator {
	t.Helper()
	s := openSeed(t, path)
	s.stamp = stamp
	g, err := newGenerator(&Config{Entropy: s}, h)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// children forks n times without waiting in between and returns what the children
// have read.
func children(t *testing.T, n int, f func(i int) func([]byte) error) (all []string) {
	t.Helper()
	var results []func() (string, error)
	for i := range n {
		run := f(i)
		result, err := forkSeed(run)
		if err != nil {
			t.Fatal(err)
		}
		results = append(results, result)
	}
	for i, result := range results {
		out, err := result()
		if err != nil {
			t.Fatalf("child %d: %v", i, err)
		}
		all = append(all, out)
	}
	return all
}

// moveSeed copies the seed file and returns what gives the copy to the generator
// of a child.
func moveSeed(t *testing.T, g *Generator, path string, i int) func([]byte) error {
	t.Helper()
	own := filepath.Join(filepath.Dir(path), "system"+strconv.Itoa(i))
	if err := os.WriteFile(own, mustReadFile(t, path), 0o600); err != nil {
		t.Fatal(err)
	}
	return func([]byte) error { g.conf().nv.path = own; return nil }
}

func both(steps ...func([]byte) error) func([]byte) error {
	return func(out []byte) error {
		for _, f := range steps {
			if err := f(out); err != nil {
				return err
			}
		}
		return nil
	}
}

func readAll(r io.Reader) func([]byte) error {
	return func(out []byte) error { _, err := io.ReadFull(r, out); return err }
}

func mustRead(t *testing.T, g *Generator) string {
	t.Helper()
	out := make([]byte, 48)
	if _, err := g.Read(out); err != nil {
		t.Fatal(err)
	}
	return string(out)
}
