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
	"slices"
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

// A stepRoom is memory that the tracer and the processes that it drives share. Only one of
// them runs at a time.
type stepRoom struct {
	clock stepClock
	frame stepFrame // where a copy goes on
	code  [512]byte // stepCopier, and a stepCounter for each RDTSC

	// What a copy tells when it ends.
	done     bool
	readings uint64 // until the Read had returned
	later    [len(stepLater)]byte
	asked    [len(stepAsked)]byte
}

// A stepClock is the counter of the process that is cloned, how often the counter was read,
// and how many ticks the process's clock is ahead of it. A reading takes stepReading ticks.
type stepClock struct{ now, readings, ahead uint64 }

// A stepFrame is what a system call does not leave as it is.
type stepFrame struct{ rcx, r11, flags, rax, rsp, rip uint64 }

// The room's place in the process that is cloned: below 2^31, so that instructions can name
// it, and above the binary.
const (
	stepRoomAt  = 0x7000_0000
	stepCodeAt  = stepRoomAt + unsafe.Offsetof(stepRoom{}.code)
	stepFrameAt = stepRoomAt + unsafe.Offsetof(stepRoom{}.frame)
	stepCopied  = 23 // bytes of stepCopier: where the walker stops after the copy's end
	stepRoomFD  = 3
)

// mapStepRoom maps the room at that address, or where there is space.
func mapStepRoom(fd int, at uintptr) (*stepRoom, error) {
	prot, flags := unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED
	if at != 0 {
		prot, flags = prot|unix.PROT_EXEC, flags|unix.MAP_FIXED_NOREPLACE
	}
	p, err := unix.MmapPtr(fd, 0, unsafe.Add(nil, at), unsafe.Sizeof(stepRoom{}), prot, flags)
	return (*stepRoom)(p), err
}

// A stepText is what the tracer knows of this binary's code.
type stepText struct {
	base    uint64
	code    []byte
	rdtsc   map[uint64]bool   // this package's
	near    map[uint64]bool   // what lies close to one
	patches map[uint64][]byte // of them, in the process that is cloned
	room    []byte            // stepRoom.code
	end     uint64            // stepEnd
	timed   uint64            // stepTimed
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
		base:    s.Addr,
		rdtsc:   make(map[uint64]bool),
		near:    make(map[uint64]bool),
		patches: make(map[uint64][]byte),
		room:    bytes.Clone(stepCopier),
		end:     uint64(reflect.ValueOf(stepEnd).Pointer()),
		timed:   uint64(reflect.ValueOf(stepTimed).Pointer()),
	}
	if t.code, err = s.Data(); err != nil {
		return nil, err
	}
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
		for d := range uint64(16) {
			t.near[at-6+d] = true
		}
		t.patches[at] = []byte{0xeb, byte(space - at - 2)} // JMP, short
		t.patches[space] = stepJump(space, uint64(stepCodeAt)+uint64(len(t.room)))
		t.room = append(t.room, stepCounter...)
		t.room = append(t.room, stepJump(uint64(stepCodeAt)+uint64(len(t.room)), at+2)...)
	}
	if len(t.rdtsc) == 0 {
		return nil, errors.New("this package has no RDTSC")
	}
	return t, nil
})

// stepCode is instructions that end in a number of four bytes, such as an address.
func stepCode(code string, n uintptr) []byte {
	return binary.LittleEndian.AppendUint32([]byte(code), uint32(n))
}

func stepJump(at, to uint64) []byte { return stepCode("\xe9", uintptr(to-at-5)) }

// stepCounter is what is executed for RDTSC.
var stepCounter = slices.Concat(
	stepCode("\x48\x81\x04\x25", stepRoomAt), stepCode("", stepReading), // ADDQ $stepReading, clock.now
	stepCode("\x48\xff\x04\x25", stepRoomAt+unsafe.Offsetof(stepClock{}.readings)), // INCQ clock.readings
	stepCode("\x8b\x04\x25", stepRoomAt),                                           // MOVL clock.now, AX
	stepCode("\x8b\x14\x25", stepRoomAt+4),                                         // MOVL clock.now+4, DX
)

// stepCopier is executed with SYS_FORK in AX. The copy goes on where the frame says, with
// the registers that the process had there. The process waits until the copy has ended.
var stepCopier = slices.Concat(
	[]byte("\x0f\x05\x85\xc0\x74\x11"),                       // SYSCALL; TESTL AX, AX; JEQ the copy
	[]byte("\x89\xc7\x31\xf6\x31\xd2\x45\x31\xd2"),           // MOVL AX, DI; XORL SI, SI; XORL DX, DX; XORL R10, R10
	stepCode("\xb8", unix.SYS_WAIT4), []byte("\x0f\x05\xcc"), // SYSCALL; INT3
	stepCode("\x48\x8b\x0c\x25", stepFrameAt),            // the copy: MOVQ rcx, CX
	stepCode("\x4c\x8b\x1c\x25", stepFrameAt+8),          // MOVQ r11, R11
	stepCode("\xbc", stepFrameAt+16), []byte("\x9d\x58"), // MOVL $flags, SP; POPFQ; POPQ AX
	stepCode("\x48\x8b\x24\x25", stepFrameAt+unsafe.Offsetof(stepFrame{}.rsp)), // MOVQ rsp, SP
	stepCode("\xff\x24\x25", stepFrameAt+unsafe.Offsetof(stepFrame{}.rip)),     // JMP rip
)

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

// A stepTracer drives the process that is cloned, the walker, which runs this very binary. All
// its methods are called in one locked thread, as ptrace wants it.
type stepTracer struct {
	t      *testing.T
	text   *stepText
	room   *stepRoom
	leader *exec.Cmd // its parent, and the leader of its process group
	pid    int
	regs   unix.PtraceRegs
}

func (x *stepTracer) must(err error) {
	x.t.Helper()
	if err != nil {
		x.t.Fatal("tracing: ", err)
	}
}

// refused skips the test where a sandbox does not let one process look into another: it may refuse ptrace(2), or
// process_vm_readv(2) alone.
func (x *stepTracer) refused(err error) {
	x.t.Helper()
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.ENOSYS) {
		x.t.Skipf("this machine refuses to trace a process: %v", err)
	}
}

// start starts the walker, and takes it to its breakpoint.
func (x *stepTracer) start(role string) {
	fd, err := unix.MemfdCreate("step", unix.MFD_CLOEXEC)
	x.must(err)
	file := os.NewFile(uintptr(fd), "step")
	defer file.Close()
	x.must(file.Truncate(int64(unsafe.Sizeof(*x.room))))
	x.room, err = mapStepRoom(fd, 0)
	x.must(err)
	copy(x.room.code[:], x.text.room)
	x.leader = exec.Command(os.Args[0])
	// No signal asks a thread to give way, and there is little memory to copy.
	x.leader.Env = append(os.Environ(), stepEnv+"="+role, "GODEBUG=asyncpreemptoff=1", "GOMAXPROCS=1", "MALLOC_ARENA_MAX=1")
	x.leader.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGKILL}
	x.leader.ExtraFiles = []*os.File{file}
	x.leader.Stderr = os.Stderr
	stdin, err := x.leader.StdinPipe()
	x.must(err)
	stdout, err := x.leader.StdoutPipe()
	x.must(err)
	x.must(x.leader.Start())
	x.t.Cleanup(x.end)
	_, err = fmt.Fscan(stdout, &x.pid)
	x.must(err)
	err = unix.PtraceAttach(x.pid)
	x.refused(err)
	x.must(err)
	x.wait()
	x.must(unix.PtraceSetOptions(x.pid, unix.PTRACE_O_EXITKILL))
	for at, code := range x.text.patches {
		_, err := unix.PtracePokeText(x.pid, uintptr(at), code)
		x.must(err)
	}
	x.must(stdin.Close())
	x.resume(false)
}

func (x *stepTracer) end() {
	unix.Kill(-x.leader.Process.Pid, unix.SIGKILL)
	if x.pid != 0 {
		unix.Wait4(x.pid, nil, unix.WALL, nil)
	}
	x.leader.Wait()
	x.must(unix.MunmapPtr(unsafe.Pointer(x.room), unsafe.Sizeof(*x.room)))
}

func (x *stepTracer) wait() (s unix.WaitStatus) {
	hangs := time.AfterFunc(stepPatience, func() { unix.Kill(-x.leader.Process.Pid, unix.SIGKILL) })
	defer hangs.Stop()
	_, err := unix.Wait4(x.pid, &s, unix.WALL, nil)
	for err == unix.EINTR {
		_, err = unix.Wait4(x.pid, &s, unix.WALL, nil)
	}
	x.must(err)
	if !s.Stopped() {
		x.t.Fatalf("the walker has ended: %#x; last seen at %s", uint32(s), stepPlace(x.regs.Rip))
	}
	return s
}

// resume lets the walker run, or make one step, to its next stop, which must be a trap.
func (x *stepTracer) resume(step bool) {
	if step {
		x.must(unix.PtraceSingleStep(x.pid))
	} else {
		x.must(unix.PtraceCont(x.pid, 0))
	}
	s, last := x.wait(), x.regs.Rip
	x.must(unix.PtraceGetRegs(x.pid, &x.regs))
	if s.StopSignal() != unix.SIGTRAP {
		x.t.Fatalf("signal %v at %s, last seen at %s", s.StopSignal(), stepPlace(x.regs.Rip), stepPlace(last))
	}
}

// jump lets the walker go on from another place.
func (x *stepTracer) jump(to uint64) {
	x.regs.Rip = to
	x.must(unix.PtraceSetRegs(x.pid, &x.regs))
}

// memory reads n bytes of the walker's.
func (x *stepTracer) memory(at uint64, n int) []byte {
	b := make([]byte, n)
	local := []unix.Iovec{{Base: &b[0], Len: uint64(n)}}
	_, err := unix.ProcessVMReadv(x.pid, local, []unix.RemoteIovec{{Base: uintptr(at), Len: n}}, 0)
	x.refused(err)
	x.must(err)
	return b
}

// allMemory is what the walker can write to.
func (x *stepTracer) allMemory() (all []byte) {
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", x.pid))
	x.must(err)
	for line := range strings.Lines(string(maps)) {
		var from, to uint64
		var mode string
		if fmt.Sscanf(line, "%x-%x %s", &from, &to, &mode); mode == "rw-p" && to-from < 32<<20 {
			all = append(all, x.memory(from, int(to-from))...)
		}
	}
	return all
}

// copy makes a copy of the walker where it stands, with another clock, and waits for its end.
// The copy is not traced.
func (x *stepTracer) copy(clock stepClock) {
	r, regs, before := x.room, x.regs, x.room.clock
	r.clock, r.done = clock, false
	r.frame = stepFrame{regs.Rcx, regs.R11, regs.Eflags, regs.Rax, regs.Rsp, regs.Rip}
	x.regs.Rax, x.regs.Orig_rax = unix.SYS_FORK, ^uint64(0) // no system call is under way that the kernel would start again
	x.jump(uint64(stepCodeAt))
	if x.resume(false); x.regs.Rip != uint64(stepCodeAt)+stepCopied || !r.done {
		x.t.Fatalf("no copy was made, or it did not come to its end: %d at %s", int64(x.regs.Rax), stepPlace(x.regs.Rip))
	}
	x.regs, r.clock = regs, before
	x.jump(regs.Rip)
}
