package rand

import (
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The test binary becomes a helper process, which forks, when this environment
// variable names a fork case and what guards it.
const forkHelperEnv = "CLONERAND_TEST_FORK"

const (
	recordHeader = 32 + 4 + 4 // name, process ID, number of bytes
	recordFD     = 3          // the pipe to the test
	refusedCode  = 77         // exit status: this machine does not allow it; stderr says what
)

// forkHelper does not return in a helper process.
func forkHelper() {
	role := os.Getenv(forkHelperEnv)
	if role == "" {
		return
	}
	name, guard, _ := strings.Cut(role, "/")
	// A forked child has one thread only, and a collection would wait for the others. The
	// thread is not locked to its goroutine: a child that inherits a request to give way
	// would then wait for another one to take over.
	debug.SetGCPercent(-1)
	dieWithParent()
	if name == "locks" {
		forkLocksMain(guard)
	} else {
		forkCaseMain(name, guard)
	}
	os.Exit(0)
}

// forkRaw copies this process by a system call that the runtime knows nothing of.
// tid, if not 0, is the process ID that the child is to get.
func forkRaw(flags uintptr, tid int) (pid int, errno unix.Errno) {
	var r uintptr
	if tid == 0 {
		flags, stack := flags|uintptr(unix.SIGCHLD), uintptr(0)
		if runtime.GOARCH == "s390x" { // takes them the other way round
			flags, stack = stack, flags
		}
		r, _, errno = unix.RawSyscall6(unix.SYS_CLONE, flags, stack, 0, 0, 0, 0)
		return int(r), errno
	}
	forkTID = int32(tid)
	forkArgs = cloneArgs{
		flags: uint64(flags), exitSignal: uint64(unix.SIGCHLD),
		setTID: uint64(uintptr(unsafe.Pointer(&forkTID))), setTIDSize: 1,
	}
	r, _, errno = unix.RawSyscall(unix.SYS_CLONE3, uintptr(unsafe.Pointer(&forkArgs)), unsafe.Sizeof(forkArgs), 0)
	return int(r), errno
}

// cloneArgs is struct clone_args of Linux include/uapi/linux/sched.h, version 1.
type cloneArgs struct {
	flags, pidfd, childTID, parentTID, exitSignal uint64
	stack, stackSize, tls, setTID, setTIDSize     uint64
}

// Package variables, so that their addresses stay what they are.
var (
	forkArgs cloneArgs
	forkTID  int32
	forkBuf  [4096]byte // PIPE_BUF: what a write does not mix with others
)

// A forker is a process of a fork case: the helper process, or one of its copies.
type forker struct {
	source func([]byte) (int, error)
	sizes  []int // of the Reads that make one output
}

// read takes one output from the source and tells the test.
func (f *forker) read(who string, number ...int) {
	name := forkBuf[:32]
	clear(name)
	n := copy(name, who)
	for _, i := range number { // by hand: what is done in a child should not allocate
		name[n], name[n+1], name[n+2] = ' ', byte('0'+i/10), byte('0'+i%10)
		n += 3
	}
	end := recordHeader
	for _, size := range f.sizes {
		out := forkBuf[end : end+size]
		if n, err := f.source(out); n != size || err != nil {
			f.exit(3, "Read failed in "+who)
		}
		end += size
	}
	binary.LittleEndian.PutUint32(forkBuf[32:], uint32(unix.Getpid()))
	binary.LittleEndian.PutUint32(forkBuf[36:], uint32(end-recordHeader))
	if !rawWrite(recordFD, forkBuf[:end]) {
		f.exit(3, "write failed in "+who)
	}
	clear(forkBuf[:])
}

// fork runs child in a copy of this process, which ends after it.
func (f *forker) fork(child func()) (pid int) { return f.forkInto(0, 0, child) }

func (f *forker) forkInto(flags uintptr, tid int, child func()) (pid int) {
	for range 2000 {
		runtime.Gosched() // a new time slice: no request to give way is due in the child
		pid, errno := forkRaw(flags, tid)
		switch {
		case errno == unix.EEXIST: // the process that had this ID is not gone yet
			unix.Nanosleep(&unix.Timespec{Nsec: 1e6}, nil)
			continue
		case errno == unix.EPERM, errno == unix.EINVAL, errno == unix.ENOSYS:
			f.exit(refusedCode, "fork refused: "+errno.Error())
		case errno != 0:
			f.exit(3, "fork: "+errno.Error())
		case pid == 0:
			dieWithParent()
			child()
			f.exit(0, "")
		}
		return pid
	}
	f.exit(3, "a process ID does not become free")
	return 0
}

// wait waits for children, and ends as they do if that is badly.
func (f *forker) wait(pids ...int) {
	for _, pid := range pids {
		var status unix.WaitStatus
		_, err := unix.Wait4(pid, &status, 0, nil)
		for err == unix.EINTR {
			_, err = unix.Wait4(pid, &status, 0, nil)
		}
		switch {
		case err != nil:
			f.exit(3, "wait: "+err.Error())
		case status.ExitStatus() != 0: // -1 where a signal has ended it
			f.exit(status.ExitStatus()&0xff, "a child failed")
		}
	}
}

func (f *forker) exit(code int, why string) {
	if why != "" {
		rawWrite(2, []byte(why+"\n"))
	}
	unix.RawSyscall(unix.SYS_EXIT_GROUP, uintptr(code), 0, 0)
}

// dieWithParent: a process that hangs is not to be left over when the test is killed.
func dieWithParent() {
	unix.RawSyscall(unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0)
}

func rawWrite(fd uintptr, b []byte) bool {
	n, _, _ := unix.RawSyscall(unix.SYS_WRITE, fd, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	return n == uintptr(len(b))
}

// A record is an output as the test gets it.
type record struct {
	who string
	pid int
	out []byte
}

func parseRecords(b []byte) (records []record, err error) {
	for len(b) > 0 {
		if len(b) < recordHeader {
			return nil, fmt.Errorf("%d bytes are no record", len(b))
		}
		n := int(binary.LittleEndian.Uint32(b[36:]))
		if n > len(b)-recordHeader {
			return nil, fmt.Errorf("a record of %d bytes is cut short", n)
		}
		records = append(records, record{
			who: strings.TrimRight(string(b[:32]), "\x00"),
			pid: int(binary.LittleEndian.Uint32(b[32:])),
			out: b[recordHeader : recordHeader+n],
		})
		b = b[recordHeader+n:]
	}
	return records, nil
}
