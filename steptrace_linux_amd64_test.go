package rand

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A tracee is a stopped process, and its registers.
type tracee struct {
	pid  int
	regs unix.PtraceRegs
}

// A stepTracer drives the process that is cloned, which runs this very binary. All its calls come
// from one locked thread, as ptrace wants it.
type stepTracer struct {
	t    *testing.T
	text *stepText

	leader  *exec.Cmd
	walker  *tracee // the child of leader that is cloned
	running atomic.Int64
	watch   *time.Timer // ends what runs for too long
}

const (
	stepPatience = time.Minute // for a copy
	int3         = 0xcc
)

// stepText is this binary's code, and the addresses that a tracer needs.
type stepText struct {
	base    uint64
	code    []byte // as it is in the file
	live    []byte // as it is in the walker
	patched []uint64
	mark    uint64 // a breakpoint
	fork    uint64 // SYSCALL; INT3
	timed   uint64 // stepTimed
	rdtsc   map[uint64]bool
}

// stepClock is the counter that the process reads: see stub.
var (
	stepClock   struct{ now, readings uint64 }
	stepClockAt = uint64(uintptr(unsafe.Pointer(&stepClock)))
)

var loadText = sync.OnceValues(func() (*stepText, error) {
	f, err := elf.Open("/proc/self/exe")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	s := f.Section(".text")
	if f.Type != elf.ET_EXEC || s == nil {
		return nil, errors.New("this binary is position independent: its addresses are others in another process")
	}
	t := &stepText{
		base:  s.Addr,
		mark:  uint64(reflect.ValueOf(stepMark).Pointer()),
		fork:  uint64(reflect.ValueOf((*stepWalk).run).Pointer()), // nobody calls that there
		timed: uint64(reflect.ValueOf(stepTimed).Pointer()),
		rdtsc: make(map[uint64]bool),
	}
	if t.code, err = s.Data(); err != nil {
		return nil, err
	}
	t.live = bytes.Clone(t.code)
	t.put(t.mark, int3)
	t.put(t.fork, 0x0f, 0x05, int3)
	stub := t.fork + 8
	for i := range t.code[:len(t.code)-8] {
		at := t.base + uint64(i)
		if !t.isRDTSC(at) || !ours(at) || !strings.HasSuffix(fileOf(at), ".s") {
			continue
		}
		t.rdtsc[at] = true
		// Two bytes are no room for a long jump. The space behind the function is.
		pad := bytes.Index(t.code[i:i+64], bytes.Repeat([]byte{int3}, 5))
		if pad < 0 {
			return nil, fmt.Errorf("no space behind %s", place(at))
		}
		t.put(at, 0xeb, byte(pad-2)) // JMP, short
		t.put(at+uint64(pad), jump(at+uint64(pad), stub)...)
		code := stepStub(stub, at+2)
		t.put(stub, code...)
		stub += uint64(len(code))
	}
	if len(t.rdtsc) == 0 {
		return nil, errors.New("no RDTSC in this package's assembler")
	}
	return t, nil
})

// stepStub is what stands for RDTSC.
func stepStub(at, back uint64) []byte {
	clock := uint32(stepClockAt) // below 2^31, as the whole binary is
	le := binary.LittleEndian
	b := le.AppendUint32([]byte{0x48, 0x81, 0x04, 0x25}, clock) // ADDQ $stepReading, now
	b = le.AppendUint32(b, stepReading)
	b = le.AppendUint32(append(b, 0x48, 0xff, 0x04, 0x25), clock+8) // INCQ readings
	b = le.AppendUint32(append(b, 0x8b, 0x04, 0x25), clock)         // MOVL now, AX
	b = le.AppendUint32(append(b, 0x8b, 0x14, 0x25), clock+4)       // MOVL now+4, DX
	return append(b, jump(at+uint64(len(b)), back)...)
}

func jump(at, to uint64) []byte {
	return binary.LittleEndian.AppendUint32([]byte{0xe9}, uint32(to-at-5))
}

func (t *stepText) put(at uint64, code ...byte) {
	copy(t.live[at-t.base:], code)
	for i := 0; i < len(code); i += 8 {
		t.patched = append(t.patched, at+uint64(i))
	}
}

// isRDTSC reports whether the instruction at an address is, where it is in this binary.
func (t *stepText) isRDTSC(at uint64) bool {
	return at >= t.base && at-t.base < uint64(len(t.code)-8) && t.code[at-t.base] == 0x0f && t.code[at-t.base+1] == 0x31
}

func fileOf(at uint64) string {
	if f := runtime.FuncForPC(uintptr(at)); f != nil {
		file, _ := f.FileLine(uintptr(at))
		return file
	}
	return ""
}

// ours says whether an address is in this package, its tests left out.
func ours(at uint64) bool {
	f := runtime.FuncForPC(uintptr(at))
	if f == nil || !strings.HasPrefix(f.Name(), stepPackage+".") {
		return false
	}
	file, _ := f.FileLine(f.Entry())
	return !strings.HasSuffix(file, "_test.go")
}

var stepPackage = reflect.TypeFor[stepTracer]().PkgPath()

// place names an address for who reads of a failure.
func place(at uint64) string {
	f := runtime.FuncForPC(uintptr(at))
	if f == nil {
		return fmt.Sprintf("%#x", at)
	}
	file, line := f.FileLine(uintptr(at))
	return fmt.Sprintf("%s (%s:%d, %#x)", path.Base(f.Name()), path.Base(file), line, at)
}

func (x *stepTracer) ptrace(request, pid int, addr, data uintptr) {
	if _, _, e := unix.RawSyscall6(unix.SYS_PTRACE, uintptr(request), uintptr(pid), addr, data, 0, 0); e != 0 {
		x.t.Fatalf("ptrace %d of %d: %v", request, pid, e)
	}
}

// eventPID is the process that the last event of pid has made.
func (x *stepTracer) eventPID(pid int) int {
	child := new(uint64)
	x.ptrace(unix.PTRACE_GETEVENTMSG, pid, 0, uintptr(unsafe.Pointer(child)))
	return int(*child)
}

func (x *stepTracer) load(p *tracee) {
	x.ptrace(unix.PTRACE_GETREGS, p.pid, 0, uintptr(unsafe.Pointer(&p.regs)))
}

func (x *stepTracer) store(p *tracee) {
	x.ptrace(unix.PTRACE_SETREGS, p.pid, 0, uintptr(unsafe.Pointer(&p.regs)))
}

// poke brings the code at an address to p, with other bytes in front if there are any.
func (x *stepTracer) poke(p *tracee, at uint64, other ...byte) {
	word := [8]byte(x.text.live[at-x.text.base:])
	copy(word[:], other)
	x.ptrace(unix.PTRACE_POKETEXT, p.pid, uintptr(at), uintptr(binary.LittleEndian.Uint64(word[:])))
}

func (x *stepTracer) wait(pid int) unix.WaitStatus {
	x.running.Store(int64(pid))
	defer x.running.Store(0)
	for status := new(uint32); ; {
		switch _, _, e := unix.RawSyscall6(unix.SYS_WAIT4, uintptr(pid), uintptr(unsafe.Pointer(status)), unix.WALL, 0, 0, 0); e {
		case 0:
			return unix.WaitStatus(*status)
		case unix.EINTR:
		default:
			x.t.Fatalf("wait for %d: %v", pid, e)
		}
	}
}

// resume lets p run by a request of ptrace to its next stop, which must be a trap.
func (x *stepTracer) resume(request int, p *tracee) unix.WaitStatus {
	x.ptrace(request, p.pid, 0, 0)
	s := x.wait(p.pid)
	if !s.Stopped() {
		x.t.Fatalf("process %d has ended: %#x; it was at %s", p.pid, uint32(s), place(p.regs.Rip))
	}
	from := p.regs.Rip
	x.load(p)
	if s.StopSignal() != unix.SIGTRAP {
		x.t.Fatalf("process %d: signal %v at %s, last seen at %s", p.pid, s.StopSignal(), place(p.regs.Rip), place(from))
	}
	return s
}

// memory reads n bytes of p's.
func (x *stepTracer) memory(p *tracee, at uint64, n int) []byte {
	b := make([]byte, n)
	local := []unix.Iovec{{Base: &b[0], Len: uint64(n)}}
	if got, err := unix.ProcessVMReadv(p.pid, local, []unix.RemoteIovec{{Base: uintptr(at), Len: n}}, 0); got != n || err != nil {
		x.t.Fatalf("the memory of %d at %#x: %d of %d bytes, %v", p.pid, at, got, n, err)
	}
	return b
}

func (x *stepTracer) kill(p *tracee) {
	unix.Kill(p.pid, unix.SIGKILL)
	for s := x.wait(p.pid); !s.Exited() && !s.Signaled(); {
		s = x.wait(p.pid)
	}
}

// setCounter is what RDTSC does.
func (p *tracee) setCounter(v uint64) { p.regs.Rax, p.regs.Rdx = v&0xffffffff, v>>32 }

// A stepSignal is a call of stepMark.
type stepSignal struct {
	kind, n int
	at      uint64 // b
	len     int
}

// mark takes the call of stepMark that p stands in, and returns from it.
func (x *stepTracer) mark(p *tracee) stepSignal {
	m := stepSignal{int(p.regs.Rax), int(p.regs.Rbx), p.regs.Rcx, int(p.regs.Rdi)}
	p.regs.Rip = binary.LittleEndian.Uint64(x.memory(p, p.regs.Rsp, 8))
	p.regs.Rsp += 8
	x.store(p)
	return m
}

// toMark lets p run to its next call of stepMark.
func (x *stepTracer) toMark(p *tracee) stepSignal {
	x.resume(unix.PTRACE_CONT, p)
	if at := p.regs.Rip - 1; at != x.text.mark {
		x.t.Fatal("a trap at ", place(at))
	}
	m := x.mark(p)
	if m.kind == markFail {
		x.t.Fatal("a call has failed")
	}
	return m
}

// clock is what p's counter says, and how often p has read it since it was set.
func (x *stepTracer) clock(p *tracee) (now uint64, readings int) {
	b := x.memory(p, stepClockAt, 16)
	return binary.LittleEndian.Uint64(b), int(binary.LittleEndian.Uint64(b[8:]))
}

// setClock is what p's counter says, until it reads it.
func (x *stepTracer) setClock(p *tracee, now uint64) {
	b := make([]byte, 16)
	binary.LittleEndian.PutUint64(b, now)
	local := []unix.Iovec{{Base: &b[0], Len: 16}}
	if n, err := unix.ProcessVMWritev(p.pid, local, []unix.RemoteIovec{{Base: uintptr(stepClockAt), Len: 16}}, 0); n != 16 || err != nil {
		x.t.Fatal("the counter of a copy: ", err)
	}
}

// runTo lets p run to a place.
func (x *stepTracer) runTo(p *tracee, at uint64) {
	x.poke(p, at, int3)
	x.resume(unix.PTRACE_CONT, p)
	if p.regs.Rip--; p.regs.Rip != at {
		x.t.Fatalf("on the way to %s: a trap at %s", place(at), place(p.regs.Rip))
	}
	x.store(p)
	x.poke(p, at)
}

// start starts the process, follows it to its fork, and stops the child, the walker, there.
func (x *stepTracer) start(role string) {
	x.watch = time.AfterFunc(stepPatience, func() {
		if pid := int(x.running.Load()); pid != 0 {
			unix.Kill(pid, unix.SIGKILL)
		}
	})
	x.leader = exec.Command(os.Args[0])
	// No thread is asked by a signal to give way.
	x.leader.Env = append(os.Environ(), stepEnv+"="+role, "GODEBUG=asyncpreemptoff=1")
	x.leader.SysProcAttr = &syscall.SysProcAttr{Ptrace: true, Pdeathsig: unix.SIGKILL}
	x.leader.Stderr = os.Stderr
	if err := x.leader.Start(); errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.ENOSYS) {
		x.t.Skipf("this machine refuses to trace a process: %v", err)
	} else if err != nil {
		x.t.Fatal(err)
	}
	leader := x.leader.Process.Pid
	x.t.Cleanup(x.end)
	if s := x.wait(leader); !s.Stopped() {
		x.t.Fatalf("the process to be cloned has ended: %#x", uint32(s))
	}
	x.ptrace(unix.PTRACE_SETOPTIONS, leader, 0, unix.PTRACE_O_TRACECLONE|unix.PTRACE_O_TRACEFORK|unix.PTRACE_O_EXITKILL)
	signal := uintptr(0)
	for x.walker == nil {
		x.ptrace(unix.PTRACE_CONT, leader, 0, signal)
		signal = 0
		s := x.wait(leader)
		switch {
		case !s.Stopped():
			x.t.Fatalf("the process to be cloned has ended: %#x", uint32(s))
		case s.StopSignal() != unix.SIGTRAP:
			signal = uintptr(s.StopSignal())
		case s.TrapCause() == unix.PTRACE_EVENT_CLONE: // its other threads are let go
			thread := x.eventPID(leader)
			x.wait(thread)
			x.ptrace(unix.PTRACE_DETACH, thread, 0, 0)
		case s.TrapCause() == unix.PTRACE_EVENT_FORK:
			x.walker = &tracee{pid: x.eventPID(leader)}
		}
	}
	p := x.walker
	x.wait(p.pid)
	x.ptrace(unix.PTRACE_DETACH, leader, 0, 0)
	for _, at := range x.text.patched {
		x.poke(p, at)
	}
}

func (x *stepTracer) end() {
	x.watch.Stop()
	if x.walker != nil {
		unix.Kill(x.walker.pid, unix.SIGKILL)
	}
	x.leader.Process.Kill()
	x.leader.Wait()
}

// fork makes a copy of the walker where it stands, by a system call put under its feet.
// The copy is traced, too.
func (x *stepTracer) fork() *tracee {
	x.watch.Reset(stepPatience)
	p := x.walker
	saved := p.regs
	saved.Orig_rax = ^uint64(0) // not in a system call that the kernel would restart
	p.regs.Orig_rax = ^uint64(0)
	p.regs.Rip = x.text.fork
	p.regs.Rax, p.regs.Rdi = unix.SYS_CLONE, unix.CLONE_PARENT|uint64(unix.SIGCHLD)
	p.regs.Rsi, p.regs.Rdx, p.regs.R10, p.regs.R8 = 0, 0, 0, 0
	x.store(p)
	if s := x.resume(unix.PTRACE_CONT, p); s.TrapCause() != unix.PTRACE_EVENT_FORK {
		x.t.Fatalf("no fork: %#x at %s", uint32(s), place(p.regs.Rip))
	}
	c := &tracee{pid: x.eventPID(p.pid), regs: saved}
	x.resume(unix.PTRACE_CONT, p)
	if p.regs.Rip != x.text.fork+3 || int(p.regs.Rax) != c.pid {
		x.t.Fatalf("the fork returned %d, not %d, at %#x", p.regs.Rax, c.pid, p.regs.Rip)
	}
	p.regs = saved
	x.store(p)
	if s := x.wait(c.pid); !s.Stopped() {
		x.t.Fatalf("the copy has ended: %#x", uint32(s))
	}
	x.store(c)
	return c
}

// allMemory is what p can write to.
func (x *stepTracer) allMemory(p *tracee) (all []byte) {
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", p.pid))
	if err != nil {
		x.t.Fatal(err)
	}
	for line := range strings.Lines(string(maps)) {
		var from, to uint64
		var mode string
		if fmt.Sscanf(line, "%x-%x %s", &from, &to, &mode); mode == "rw-p" && to-from < 32<<20 {
			all = append(all, x.memory(p, from, int(to-from))...)
		}
	}
	return all
}
