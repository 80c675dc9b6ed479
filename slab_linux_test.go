package rand

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/clonerand/rand/internal/signalfile"
	"golang.org/x/sys/unix"
)

// slabUsed counts the slots that are taken.
func slabUsed() (n int) {
	for i := range slab.chunks {
		if c := slab.chunks[i].Load(); c != nil {
			for used := c.used.Load(); used != 0; used &= used - 1 {
				n++
			}
		}
	}
	return n
}

// inSlab reports whether s is in mapped memory.
func inSlab(s *secrets) bool {
	for i := range slab.chunks {
		if c := slab.chunks[i].Load(); c != nil {
			if uintptr(unsafe.Pointer(s))-uintptr(c.memory) < uintptr(chunkLen()) {
				return true
			}
		}
	}
	return false
}

func needsSlab(t *testing.T) {
	t.Helper()
	if g := thisHost.clones.current(); g.page == nil || g.pageWhy() != "" {
		t.Skip("no slab: no page is wiped on fork: " + g.pageWhy())
	}
}

// Of 100,000 Generators that nobody keeps each gives its slot back wiped, and those that are
// kept do not lose theirs.
func TestSlotsAreGivenBack(t *testing.T) {
	needsSlab(t)
	n := 100_000
	if testing.Short() || raceEnabled {
		n = 5_000
	}
	kept := make([]*Generator, 8)
	for i := range kept {
		kept[i], _ = New(nil)
		kept[i].Read(make([]byte, 16))
	}
	before := slabUsed()
	mapped := 0
	for range n {
		g, err := New(nil)
		if err != nil {
			t.Fatal(err)
		}
		g.Read(make([]byte, 16))
		if inSlab(g.state().secrets) {
			mapped++
		} else {
			runtime.GC() // the slab is full of garbage
		}
	}
	if mapped < n/2 {
		t.Errorf("%d of %d Generators were in the slab, want most", mapped, n)
	}
	for deadline := time.Now().Add(10 * time.Second); slabUsed() > before; time.Sleep(time.Millisecond) {
		if runtime.GC(); time.Now().After(deadline) {
			t.Fatalf("%d slots are taken after %d Generators, %d before", slabUsed(), n, before)
		}
	}
	for i := range slab.chunks {
		c := slab.chunks[i].Load()
		for k := 0; c != nil && k < slabSlots; k++ {
			if c.used.Load()&(1<<k) == 0 && *c.slot(k) != (secrets{}) {
				t.Errorf("chunk %d: slot %d was given back with something in it", i, k)
			}
		}
	}
	for i, g := range kept {
		if s := g.state(); !s.whole || s.drbg.key == [keyLen]byte{} {
			t.Errorf("Generator %d is in use, and was wiped", i)
		}
	}
	runtime.KeepAlive(kept)
}

// A Generator that is closed, or that New did not make after all, gives its slot back at once: a
// program that has one at a time does not fill the slab before a collection.
func TestClosedGeneratorsTakeNoSlots(t *testing.T) {
	needsSlab(t)
	runtime.GC()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	before := slabUsed()
	var closed []*Generator
	for range 100 {
		g, err := New(nil)
		if err != nil {
			t.Fatal(err)
		}
		g.Read(make([]byte, 16))
		memory := g.state().secrets
		if !inSlab(memory) {
			t.Fatal("a Generator is not in the slab")
		}
		g.Close()
		if *memory != (secrets{}) {
			t.Fatal("a slot was given back with something in it")
		}
		if _, err := New(&Config{Entropy: strings.NewReader("too short")}); err == nil {
			t.Fatal("New needs no entropy")
		}
		for _, leave := range []func(){func() { panic("Entropy") }, runtime.Goexit} {
			done := make(chan bool)
			go func() {
				defer close(done)
				defer func() { recover() }()
				New(&Config{Entropy: readerFunc(func([]byte) (int, error) { leave(); return 0, nil })})
			}()
			<-done
		}
		closed = append(closed, g)
	}
	if used := slabUsed(); used > before {
		t.Errorf("%d slots are taken, %d before", used, before)
	}
	// Nobody whose slot was taken by another touches it any more.
	g, _ := New(nil)
	readN(t, g, 16)
	for _, c := range closed {
		c.Read(make([]byte, 16))
		c.Reseed(nil)
		c.Close()
	}
	if s := g.state(); !s.whole || s.drbg.key == [keyLen]byte{} || s.buffer.key == [keyLen]byte{} {
		t.Error("a Generator in use was wiped by one that is closed")
	}
	readN(t, g, 16)
	runtime.KeepAlive(closed)
}

// Neither does a child take one for a Generator that its parent has closed.
func TestAChildTakesNoSlotForAClosedGenerator(t *testing.T) {
	needsSlab(t)
	h, page, pid := forkHost(newWorld(0))
	g, err := newGenerator(&Config{Entropy: newSource("s")}, h)
	if err != nil {
		t.Fatal(err)
	}
	readN(t, g, 16)
	runtime.GC()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	if before := slabUsed(); !inSlab(g.state().secrets) {
		t.Error("a Generator is not in the slab")
	} else if g.Close(); slabUsed() >= before {
		t.Errorf("%d slots are taken, %d before Close", slabUsed(), before)
	}
	before := slabUsed()
	*page = 0
	pid.Store(8)
	if _, err := g.Read(make([]byte, 16)); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("a Read returns %v", err)
	}
	if used := slabUsed(); used > before {
		t.Errorf("after a Read in the child %d slots are taken, %d before", used, before)
	}
}

// Goroutines that make a state of the default Reader at the same time take one slot for it.
func TestStatesMadeAtOnceTakeOneSlot(t *testing.T) {
	needsSlab(t)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(8))
	runtime.GC()
	before, pools := slabUsed(), 300
	var states []*state
	for range pools {
		p := new(pool)
		c := newConfig(thisHost)
		c.lasting = true
		p.set(c, &epoch{id: 1}, 1)
		start := make(chan bool)
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				<-start
				p.acquire(0).lock.unlock()
			})
		}
		close(start)
		wg.Wait()
		states = append(states, p.shards.Load().states[0].Load())
	}
	if taken := slabUsed() - before; taken > pools {
		t.Errorf("%d states took %d slots", pools, taken)
	}
	for _, s := range states {
		s.loan.end()
		s.loan.end() // which does nothing
	}
}

// What looks like a fork beside Reads that go on (a restored checkpoint has another process ID)
// takes no slot for each of those Reads, and gives none to two states.
func TestForksBesideReadsKeepNoSlots(t *testing.T) {
	needsSlab(t)
	like, page, pid := forkHost(newWorld(0))
	h := newHost()
	h.clones = like.clones
	runtime.GC()
	before := slabUsed()
	c := newConfig(h)
	c.lasting = true
	p := new(pool)
	p.set(c, &epoch{id: 1}, 4)
	var stop atomic.Bool
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			b := make([]byte, []int{16, 40, 1000, 5000}[i%4])
			for !stop.Load() {
				clear(b)
				if _, err := p.Read(b); err != nil || bytes.Equal(b[:16], make([]byte, 16)) {
					t.Errorf("%v, %x", err, b[:16])
					return
				}
			}
		})
	}
	for range 100 {
		pid.Add(1)
		atomic.StoreUint64(page, 0)
		time.Sleep(time.Millisecond)
	}
	stop.Store(true)
	wg.Wait()
	if taken := slabUsed() - before; taken > 60 { // 4 are in use; one is lost where a fork is seen between the lock and the look at it
		t.Errorf("%d slots are taken after %d forks", taken, h.clones.forks())
	}
	runtime.KeepAlive(p)
}

// A child inherits no locked memory, so that it locks a chunk again, and what kept its parent from
// it is not said of the child.
func TestAChildLocksItsChunks(t *testing.T) {
	locked := func() string {
		status, err := os.ReadFile("/proc/self/status")
		if err != nil {
			t.Skip(err)
		}
		_, after, _ := strings.Cut(string(status), "VmLck:")
		line, _, _ := strings.Cut(after, "\n")
		return line
	}
	c, why := newChunk()
	if c == nil {
		t.Skip(why)
	}
	defer unix.MunmapPtr(c.memory, uintptr(chunkLen()))
	c.lock(0)
	if why := c.lockWhy.Load(); why != nil {
		t.Skip("mlock2: ", *why)
	}
	inParent := locked()
	if err := unix.Munlock(unsafe.Slice((*byte)(c.memory), chunkLen())); err != nil || locked() == inParent {
		t.Fatal(err, locked())
	}
	refused := "refused"
	c.lockWhy.Store(&refused)
	c.lock(1)
	if locked() != inParent || c.lockWhy.Load() != nil {
		t.Errorf("%s locked, %s in the parent; why not: %v", locked(), inParent, c.lockWhy.Load())
	}
}

// A Generator that nobody keeps but its own Read is not taken from under it, although the
// collector runs while its Entropy blocks.
func TestCollectionsInTheMiddleOfARead(t *testing.T) {
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			seedings := 0
			src := newSource("s")
			g, err := newGenerator(&Config{Deterministic: true, Entropy: readerFunc(func(b []byte) (int, error) {
				if seedings++; seedings > 1 {
					for range 3 {
						runtime.GC()
						time.Sleep(time.Millisecond)
					}
				}
				return src.Read(b)
			})}, thisHost)
			if err != nil {
				t.Error(err)
				return
			}
			g.Deplete()
			b := make([]byte, 5000)
			g.Read(b) // its last use
			like, err := newGenerator(&Config{Deterministic: true, Entropy: newSource("s")}, thisHost)
			if err != nil {
				t.Error(err)
				return
			}
			like.Deplete()
			want := make([]byte, len(b))
			like.Read(want)
			if string(b) != string(want) {
				t.Error("a Generator was wiped in the middle of its Read")
			}
		})
	}
	wg.Wait()
}

// Where there is no room in the slab, or no locked memory, or no mapping at all, Reads are
// as good, and Inspect says what is missing.
func TestNoSlab(t *testing.T) {
	needsSlab(t)
	g := thisHost.clones.current()
	was := slab.why.Swap(nil)
	defer slab.why.Store(was)
	if p := inspectSlab(g); !p.Active {
		t.Errorf("with a slab Inspect says %+v", p)
	}
	why, doubted := "refused", generation{page: g.page, doubt: new(atomic.Pointer[string])}
	doubted.doubt.Store(&why)
	if s, mapped := takeSecrets(&doubted, g.forks); mapped {
		giveSecrets(s)
		t.Error("secrets are in the slab though no page shows a fork")
	}
	// Full.
	var taken []*secrets
	for {
		s, mapped := takeSecrets(g, g.forks)
		if !mapped {
			break
		}
		taken = append(taken, s)
	}
	gen, err := New(nil)
	if err != nil || inSlab(gen.state().secrets) {
		t.Errorf("a slab that is full: %v, in the slab: %v", err, inSlab(gen.state().secrets))
	}
	if _, err := io.ReadFull(gen, make([]byte, 5000)); err != nil {
		t.Error(err)
	}
	memory := gen.state().secrets
	if gen.Close(); *memory != (secrets{}) {
		t.Error("a Generator that is closed leaves secrets in ordinary memory")
	}
	childWipes(t)
	for _, s := range taken {
		giveSecrets(s)
	}
	if p := inspectSlab(g); p.Active || p.Mend == "" {
		t.Errorf("after it was full Inspect says %+v", p)
	}
}

// slabChain reads from 300 Generators in a child of a child and so on. The last one writes what
// Inspect says to descriptor 3. No collector runs in it.
func slabChain() {
	var b [16]byte
	gens := make([]*Generator, 300)
	for i := range gens {
		gens[i], _ = New(nil)
	}
	for depth := 0; ; depth++ {
		Read(b[:])
		for _, g := range gens {
			_, err := g.Read(b[:])
			orPanic(err)
		}
		if depth == 5 {
			break
		}
		switch child, errno := forkRaw(0, 0); {
		case errno != 0:
			panic(errno)
		case child > 0:
			unix.RawSyscall6(unix.SYS_WAIT4, uintptr(child), 0, 0, 0, 0, 0)
			unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
		}
	}
	g := thisHost.clones.current()
	rawWrite(3, fmt.Append(nil, g.forks, " forks, ", slabUsed(), " slots, ", inspectSlab(g)))
	unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
}

// The slots of a parent's states are used again in its children.
func TestChainOfForksDoesNotFillTheSlab(t *testing.T) {
	needsSlab(t)
	cmd, out := startSecrets(t, "chain/")
	says, err := io.ReadAll(out)
	cmd.Wait()
	if err != nil || !strings.HasPrefix(string(says), "5 forks") || !strings.Contains(string(says), "{secrets true") {
		t.Errorf("%v, %s", err, says)
	}
	t.Logf("%s", says)
}

// slabRefusals is what a sandbox may refuse, a call with these as its second and third
// argument; and what Inspect says of it.
var slabRefusals = map[string]struct {
	length, argument int
	says             string
	active           bool // all the same
}{
	"mmap":       {chunkLen(), unix.PROT_READ | unix.PROT_WRITE, "in ordinary memory: mmap: operation not permitted", false},
	"fork page":  {unix.Getpagesize(), unix.MADV_WIPEONFORK, "in ordinary memory: no page shows a fork: madvise MADV_WIPEONFORK (Linux 4.14)", false},
	"wipeonfork": {chunkLen(), unix.MADV_WIPEONFORK, "in ordinary memory: madvise MADV_WIPEONFORK (Linux 4.14): operation not permitted", false},
	"dontdump":   {chunkLen(), unix.MADV_DONTDUMP, "in ordinary memory: madvise MADV_DONTDUMP: operation not permitted", false},
	"mlock2":     {chunkLen(), unix.MLOCK_ONFAULT, "but not all are locked: mlock2: operation not permitted", true},
}

// slabRefusedHelper reads in a process that one of slabRefusals was installed in, and in a child
// of it. It writes 16 bytes of each and what Inspect says to descriptor 3.
func slabRefusedHelper(what string) {
	r := slabRefusals[what]
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 24}, // struct seccomp_data: the low word of args[1]
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: uint32(r.length), Jf: 3},
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 32}, // args[2]
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: uint32(r.argument), Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	orPanic(unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program))); errno != 0 {
		os.Exit(refusedCode)
	}
	var b [5000]byte
	Read(b[:])
	g, err := New(nil)
	orPanic(err)
	g.Read(b[:])
	child, errno := forkRaw(0, 0)
	if errno != 0 {
		panic(errno)
	}
	Read(b[:16])
	if !rawWrite(3, b[:16]) || child == 0 {
		unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
	}
	unix.Wait4(child, nil, 0, nil)
	rawWrite(3, fmt.Append(nil, inspectSlab(thisHost.clones.current())))
	os.Exit(0)
}

// Where a sandbox refuses what the slab needs, Reads are as good, a forked child repeats
// nothing, and Inspect says what is missing.
func TestSlabRefused(t *testing.T) {
	needsSlab(t)
	if signalfile.LittleEndian(1) != 1 {
		t.Skip("the filter is written for little-endian machines")
	}
	for what, r := range slabRefusals {
		t.Run(what, func(t *testing.T) {
			cmd, out := startSecrets(t, "refused/"+what)
			all, err := io.ReadAll(out)
			if err != nil {
				t.Fatal(err)
			}
			switch err := cmd.Wait(); {
			case cmd.ProcessState.ExitCode() == refusedCode:
				t.Skip("no seccomp filter may be installed here")
			case err != nil || len(all) < 32:
				t.Fatalf("%v, %d bytes", err, len(all))
			}
			if bytes.Equal(all[:16], all[16:32]) {
				t.Error("parent and child return the same bytes")
			}
			if row := string(all[32:]); !strings.Contains(row, r.says) || strings.Contains(row, "{secrets true") != r.active {
				t.Errorf("Inspect says %s, want %q and %v", row, r.says, r.active)
			}
		})
	}
}

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
	cmd, r := startSecrets(t, "looks/")
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
