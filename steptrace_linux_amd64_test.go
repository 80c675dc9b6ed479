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
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	stepPatience = time.Minute // a process that does not stop in this time hangs
	int3         = 0xcc
)

// stepClock is the counter of the process that is cloned, how often it was read, and how
// many ticks the clock is ahead of it. A reading, that is stepStub, takes stepReading ticks.
var (
	stepClock   struct{ now, readings, ahead uint64 }
	stepClockAt = uint64(uintptr(unsafe.Pointer(&stepClock))) // in every process of this binary
)

// stepTime is the clock of that process. It is never set back.
func stepTime() time.Time {
	return time.Unix(1_700_000_000, int64((stepClock.now+stepClock.ahead)/(stepRate/1e9)))
}

// A stepText is what the tracer knows of this binary's code.
type stepText struct {
	base    uint64
	code    []byte
	rdtsc   map[uint64]bool // this package's
	patches map[uint64][]byte
	mark    uint64 // a breakpoint
	fork    uint64 // SYSCALL; INT3
	timed   uint64 // stepTimed
}

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
		rdtsc: make(map[uint64]bool),
		mark:  uint64(reflect.ValueOf(stepMark).Pointer()),
		fork:  uint64(reflect.ValueOf((*stepWalk).run).Pointer()), // nobody calls that there
		timed: uint64(reflect.ValueOf(stepTimed).Pointer()),
	}
	t.patches = map[uint64][]byte{t.mark: {int3}, t.fork: {0x0f, 0x05, int3}}
	if t.code, err = s.Data(); err != nil {
		return nil, err
	}
	stub := t.fork + 8
	for i := range t.code[:len(t.code)-64] {
		at := t.base + uint64(i)
		if !t.isRDTSC(at) || !strings.HasSuffix(stepOurs(at), ".s") {
			continue
		}
		// The two bytes of RDTSC are no room for a long jump; the space behind the function is.
		space := at + uint64(bytes.Index(t.code[i:i+64], []byte{int3, int3, int3, int3, int3}))
		if space < at {
			return nil, fmt.Errorf("no space behind %s", stepPlace(at))
		}
		t.rdtsc[at] = true
		t.patches[at] = []byte{0xeb, byte(space - at - 2)} // JMP, short
		t.patches[space] = stepJump(space, stub)
		t.patches[stub] = stepStub(stub, at+2)
		stub += uint64(len(t.patches[stub]))
	}
	if len(t.rdtsc) == 0 {
		return nil, errors.New("this package has no RDTSC")
	}
	return t, nil
})

// stepStub is what is executed for RDTSC.
func stepStub(at, back uint64) []byte {
	le, clock := binary.LittleEndian, uint32(stepClockAt)       // below 2^31, as the whole binary is
	b := le.AppendUint32([]byte{0x48, 0x81, 0x04, 0x25}, clock) // ADDQ $stepReading, now
	b = le.AppendUint32(b, stepReading)
	b = le.AppendUint32(append(b, 0x48, 0xff, 0x04, 0x25), clock+8) // INCQ readings
	b = le.AppendUint32(append(b, 0x8b, 0x04, 0x25), clock)         // MOVL now, AX
	b = le.AppendUint32(append(b, 0x8b, 0x14, 0x25), clock+4)       // MOVL now+4, DX
	return append(b, stepJump(at+uint64(len(b)), back)...)
}

func stepJump(at, to uint64) []byte {
	return binary.LittleEndian.AppendUint32([]byte{0xe9}, uint32(to-at-5))
}

// isRDTSC reports whether the instruction at an address is, where it is one of this binary.
func (t *stepText) isRDTSC(at uint64) bool {
	return at >= t.base && at-t.base < uint64(len(t.code)-1) && t.code[at-t.base] == 0x0f && t.code[at-t.base+1] == 0x31
}

var stepPackage = reflect.TypeFor[stepText]().PkgPath() + "."

// stepOurs is the file that an address was made from, where that is one of this package, its tests
// left out.
func stepOurs(at uint64) (file string) {
	if f := runtime.FuncForPC(uintptr(at)); f != nil && strings.HasPrefix(f.Name(), stepPackage) {
		file, _ = f.FileLine(f.Entry())
	}
	if strings.HasSuffix(file, "_test.go") {
		return ""
	}
	return file
}

// stepPlace names an address for who reads of a failure.
func stepPlace(at uint64) string {
	f := runtime.FuncForPC(uintptr(at))
	if f == nil {
		return fmt.Sprintf("%#x", at)
	}
	file, line := f.FileLine(uintptr(at))
	return fmt.Sprintf("%s (%s:%d, %#x)", path.Base(f.Name()), path.Base(file), line, at)
}

// A tracee is a stopped process, and its registers.
type tracee struct {
	pid  int
	regs unix.PtraceRegs
}

// A stepTracer drives the process that is cloned, which runs this very binary. All its
// methods are called in one locked thread, as ptrace wants it.
type stepTracer struct {
	t      *testing.T
	text   *stepText
	leader *exec.Cmd
	walker *tracee // the child of leader that is cloned
}

func (x *stepTracer) must(err error) {
	x.t.Helper()
	if err != nil {
		x.t.Fatal("tracing: ", err)
	}
}

func (x *stepTracer) wait(pid int) (s unix.WaitStatus) {
	hangs := time.AfterFunc(stepPatience, func() { unix.Kill(pid, unix.SIGKILL) })
	defer hangs.Stop()
	_, err := unix.Wait4(pid, &s, unix.WALL, nil)
	for err == unix.EINTR {
		_, err = unix.Wait4(pid, &s, unix.WALL, nil)
	}
	x.must(err)
	return s
}

// resume lets p run, by PtraceSingleStep or PtraceCont, to its next stop, which must be a trap.
func (x *stepTracer) resume(p *tracee, step bool) unix.WaitStatus {
	if step {
		x.must(unix.PtraceSingleStep(p.pid))
	} else {
		x.must(unix.PtraceCont(p.pid, 0))
	}
	s := x.wait(p.pid)
	if !s.Stopped() {
		x.t.Fatalf("a process has ended: %#x; last seen at %s", uint32(s), stepPlace(p.regs.Rip))
	}
	last := p.regs.Rip
	x.must(unix.PtraceGetRegs(p.pid, &p.regs))
	if s.StopSignal() != unix.SIGTRAP {
		x.t.Fatalf("signal %v at %s, last seen at %s", s.StopSignal(), stepPlace(p.regs.Rip), stepPlace(last))
	}
	return s
}

// jump goes on from another place.
func (x *stepTracer) jump(p *tracee, to uint64) {
	p.regs.Rip = to
	x.must(unix.PtraceSetRegs(p.pid, &p.regs))
}

func (x *stepTracer) poke(p *tracee, at uint64, code []byte) {
	_, err := unix.PtracePokeText(p.pid, uintptr(at), code)
	x.must(err)
}

// runTo lets p run to a place.
func (x *stepTracer) runTo(p *tracee, at uint64) {
	old := x.memory(p, at, 1)
	x.poke(p, at, []byte{int3})
	if x.resume(p, false); p.regs.Rip != at+1 {
		x.t.Fatalf("on the way to %s: a trap at %s", stepPlace(at), stepPlace(p.regs.Rip))
	}
	x.jump(p, at)
	x.poke(p, at, old)
}

// memory reads n bytes of p's.
func (x *stepTracer) memory(p *tracee, at uint64, n int) []byte {
	b := make([]byte, n)
	local := []unix.Iovec{{Base: &b[0], Len: uint64(n)}}
	_, err := unix.ProcessVMReadv(p.pid, local, []unix.RemoteIovec{{Base: uintptr(at), Len: n}}, 0)
	x.must(err)
	return b
}

func (x *stepTracer) word(p *tracee, at uint64) uint64 {
	return binary.LittleEndian.Uint64(x.memory(p, at, 8))
}

// allMemory is what p can write to.
func (x *stepTracer) allMemory(p *tracee) (all []byte) {
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", p.pid))
	x.must(err)
	for line := range strings.Lines(string(maps)) {
		var from, to uint64
		var mode string
		if fmt.Sscanf(line, "%x-%x %s", &from, &to, &mode); mode == "rw-p" && to-from < 32<<20 {
			all = append(all, x.memory(p, from, int(to-from))...)
		}
	}
	return all
}

// setClock sets p's counter and clock.
func (x *stepTracer) setClock(p *tracee, now, ahead uint64) {
	le := binary.LittleEndian
	x.poke(p, stepClockAt, le.AppendUint64(le.AppendUint64(le.AppendUint64(nil, now), 0), ahead))
}

// A stepSignal is a call of stepMark.
type stepSignal struct {
	kind, n int
	b       uint64 // its address
	len     int
}

// toMark lets p run to its next call of stepMark, and return from it.
func (x *stepTracer) toMark(p *tracee) stepSignal {
	if x.resume(p, false); p.regs.Rip != x.text.mark+1 {
		x.t.Fatal("a trap at ", stepPlace(p.regs.Rip))
	}
	m := stepSignal{int(p.regs.Rax), int(p.regs.Rbx), p.regs.Rcx, int(p.regs.Rdi)}
	if m.kind == markFail {
		x.t.Fatal("a call has failed")
	}
	p.regs.Rsp += 8
	x.jump(p, x.word(p, p.regs.Rsp-8))
	return m
}

// start starts the process and follows it to its fork. The child, the walker, is stopped there.
func (x *stepTracer) start(role string) {
	x.leader = exec.Command(os.Args[0])
	x.leader.Env = append(os.Environ(), stepEnv+"="+role, "GODEBUG=asyncpreemptoff=1") // no signal asks a thread to give way
	x.leader.SysProcAttr = &syscall.SysProcAttr{Ptrace: true, Pdeathsig: unix.SIGKILL}
	x.leader.Stderr = os.Stderr
	switch err := x.leader.Start(); {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES), errors.Is(err, unix.ENOSYS):
		x.t.Skipf("this machine refuses to trace a process: %v", err)
	default:
		x.must(err)
	}
	x.t.Cleanup(x.end)
	leader := x.leader.Process.Pid
	if s := x.wait(leader); s.Stopped() {
		x.must(unix.PtraceSetOptions(leader, unix.PTRACE_O_TRACECLONE|unix.PTRACE_O_TRACEFORK|unix.PTRACE_O_EXITKILL))
	}
	for signal := 0; x.walker == nil; {
		x.must(unix.PtraceCont(leader, signal))
		s := x.wait(leader)
		if !s.Stopped() {
			x.t.Fatalf("the process to be cloned has ended: %#x", uint32(s))
		}
		made, _ := unix.PtraceGetEventMsg(leader)
		switch signal = 0; s.TrapCause() {
		case unix.PTRACE_EVENT_FORK:
			x.walker = &tracee{pid: int(made)}
		case unix.PTRACE_EVENT_CLONE: // its other threads are let go
			x.wait(int(made))
			x.must(unix.PtraceDetach(int(made)))
		default:
			if s.StopSignal() != unix.SIGTRAP {
				signal = int(s.StopSignal())
			}
		}
	}
	x.wait(x.walker.pid)
	x.must(unix.PtraceDetach(leader))
	for at, code := range x.text.patches {
		x.poke(x.walker, at, code)
	}
}

func (x *stepTracer) end() {
	if x.walker != nil { // before its parent, who does not keep the dead
		unix.Kill(x.walker.pid, unix.SIGKILL)
		unix.Wait4(x.walker.pid, nil, unix.WALL, nil)
	}
	x.leader.Process.Kill()
	x.leader.Wait()
}

// fork makes a copy of the walker where it stands, and stops it there.
func (x *stepTracer) fork() *tracee {
	p := x.walker
	p.regs.Orig_rax = ^uint64(0) // no system call is under way that the kernel would start again
	saved := p.regs
	p.regs.Rax, p.regs.Rdi = unix.SYS_CLONE, unix.CLONE_PARENT|uint64(unix.SIGCHLD)
	p.regs.Rsi, p.regs.Rdx, p.regs.R10, p.regs.R8 = 0, 0, 0, 0
	x.jump(p, x.text.fork)
	s := x.resume(p, false)
	made, err := unix.PtraceGetEventMsg(p.pid)
	x.must(err)
	x.resume(p, false)
	if s.TrapCause() != unix.PTRACE_EVENT_FORK || p.regs.Rip != x.text.fork+3 || p.regs.Rax != uint64(made) {
		x.t.Fatalf("the fork returned %d, not %d, at %s", p.regs.Rax, made, stepPlace(p.regs.Rip))
	}
	p.regs = saved
	x.jump(p, saved.Rip)
	c := &tracee{pid: int(made), regs: saved}
	x.wait(c.pid)
	x.jump(c, saved.Rip)
	return c
}

func (x *stepTracer) kill(p *tracee) {
	unix.Kill(p.pid, unix.SIGKILL)
	for s := x.wait(p.pid); !s.Exited() && !s.Signaled(); {
		s = x.wait(p.pid)
	}
}
