package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"
	"unsafe"

	"github.com/clonerand/rand"
	"golang.org/x/sys/unix"
)

// signalTime is how long a clone signal may have moved before the guard looks.
const signalTime = 10 * time.Millisecond

func guardOnce(id []byte, stdout io.Writer) error {
	k, err := openKernel()
	if err != nil {
		return err
	}
	defer k.close()
	if len(id) > 0 {
		fit := fitIdentity(id)
		id = fit[:]
	}
	if err = k.once(id); err == nil {
		err = takesUncredited(randomFolder)
	}
	if err == nil {
		fmt.Fprintln(stdout, "The kernel has reseeded its generator.")
	}
	return err
}

// guard makes the kernel reseed until ctx ends. It calls ticked after each tick.
func guard(ctx context.Context, every time.Duration, ticked func(n uint64, counter string, end uint64), logf func(string, ...any)) error {
	// This is one goroutine, which a timer of the kernel wakes through the poller. With one P nobody looks for
	// work to steal. Without Go timers, and with raw system calls, the runtime's monitor thread sleeps.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	k, err := openKernel()
	if err != nil {
		return err
	}
	defer k.close()
	generation := rand.Generation()
	refused := k.measure(nil)
	if fatal(refused) {
		return refused
	}
	n := uint64(0)
	tick := func() error {
		end, err := k.reseed(nil)
		if err == nil {
			n++
			ticked(n, k.name, end)
		}
		return err
	}
	start := time.Now()
	refused = tick()
	took := time.Since(start)
	if refused == nil {
		refused = takesUncredited(randomFolder)
	}
	watched, looks := watchedSignals(), uint64(1) // for each tick
	if watched != "" {
		looks = uint64((every + signalTime - 1) / signalTime)
	}
	timer, err := newKernelTimer(every / time.Duration(looks))
	if err != nil {
		return err
	}
	defer timer.Close()
	defer context.AfterFunc(ctx, func() { timer.Close() })()

	line := fmt.Sprintf("the kernel reseeds each %v; a tick takes %v", every, took)
	if refused != nil {
		line = fmt.Sprintf("a tick each %v, but %v", every, refused)
	}
	if watched != "" {
		line += "; one at once when this moves: " + watched
	}
	if err := notifySystemd("READY=1"); err != nil {
		line += fmt.Sprintf("; systemd was not told: %v", err)
	}
	logf("%s", line)

	looked := uint64(0)
	err = timer.each(func(expirations uint64) error {
		looked += expirations
		now := generation
		if looks > 1 {
			now = rand.Generation()
		}
		if looked < looks && now == generation {
			return nil
		}
		looked, generation = looked%looks, now
		err := tick()
		switch {
		case fatal(err):
			return err
		case err == nil && refused == errUncredited:
			return nil
		case err == nil && refused != nil:
			err = takesUncredited(randomFolder)
		}
		if err != refused && err != nil {
			logf("%v", err)
		} else if err != refused {
			logf("the kernel reseeds")
		}
		refused = err
		return nil
	})
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// watchedSignals names the clone signals that are there.
func watchedSignals() string {
	var names []string
	for _, row := range rand.Inspect(0) {
		switch row.Name {
		case "vmclock", "sysgenid", "generation file":
			if row.Active {
				names = append(names, row.Name)
			}
		}
	}
	return strings.Join(names, ", ")
}

// A kernelTimer is a timerfd of the monotonic clock. Clock jumps do not move it, and a resumed machine goes on with it.
type kernelTimer struct {
	*os.File
	conn interface {
		Read(func(fd uintptr) bool) error
	}
}

func newKernelTimer(period time.Duration) (*kernelTimer, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("timerfd_create", err)
	}
	t := &kernelTimer{File: os.NewFile(uintptr(fd), "timerfd")}
	each := unix.NsecToTimespec(period.Nanoseconds())
	if err = unix.TimerfdSettime(fd, 0, &unix.ItimerSpec{Interval: each, Value: each}, nil); err == nil {
		t.conn, err = t.SyscallConn()
	}
	if err != nil {
		t.Close()
		return nil, os.NewSyscallError("timerfd_settime", err)
	}
	return t, nil
}

// each calls f with how often the timer has expired, whenever it has, until f fails or the timer is closed. Expirations
// that come while f runs make one call. To the poller it is one read of the descriptor that never succeeds. So an
// expiration costs one system call, and the poller keeps what comes meanwhile.
func (t *kernelTimer) each(f func(expirations uint64) error) (err error) {
	closed := t.conn.Read(func(fd uintptr) bool {
		var expirations uint64
		// Raw, as it does not block. Sound: the kernel writes 8 bytes there before the call returns.
		n, _, _ := unix.RawSyscall(unix.SYS_READ, fd, uintptr(unsafe.Pointer(&expirations)), unsafe.Sizeof(expirations))
		if n == unsafe.Sizeof(expirations) {
			err = f(expirations)
		}
		return err != nil
	})
	return cmp.Or(err, closed)
}

// notifySystemd is sd_notify(3): a datagram to the socket that systemd names, if it does. Package net would bring a
// name resolver in C.
func notifySystemd(state string) error {
	name := os.Getenv("NOTIFY_SOCKET") // a path, or an abstract name with @ for the zero byte, as unix.SockaddrUnix has it
	if name == "" {
		return nil
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	// A reader that is stuck does not keep the guard from its ticks.
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &unix.Timeval{Sec: 1}); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	return os.NewSyscallError("sendto", unix.Sendto(fd, []byte(state), unix.MSG_NOSIGNAL, &unix.SockaddrUnix{Name: name}))
}
