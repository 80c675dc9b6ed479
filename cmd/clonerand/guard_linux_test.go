package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	clonerand "github.com/clonerand/rand"
	"golang.org/x/sys/unix"
)

// needGuard skips where this user, or a sandbox, may not make the kernel reseed.
func needGuard(t testing.TB) {
	t.Helper()
	skipEmulated(t, "QEMU passes RNDADDENTROPY's pointer on as it is")
	k, err := openKernel()
	if err == nil {
		defer k.close()
		_, err = k.reseed(nil)
	}
	if err != nil {
		t.Skip("the kernel cannot be made to reseed here:", err)
	}
}

func init() {
	// Becomes the program of the arguments, for which the kernel refuses one request with that error.
	helpers["refuse"] = func() {
		request, _ := strconv.ParseUint(os.Getenv("REFUSED_REQUEST"), 10, 32)
		errno, _ := strconv.ParseUint(os.Getenv("REFUSED_ERRNO"), 10, 16)
		refuse(uint32(request), uint32(errno))
		os.Unsetenv("CLONERAND_TEST_HELPER")
		fmt.Fprintln(os.Stderr, syscall.Exec(os.Args[1], os.Args[1:], os.Environ()))
	}
}

// refuse makes ioctl(2) with that request fail in this process from now on, by a seccomp filter. The request's low
// word is the first of argument 1 on little-endian machines.
func refuse(request, errno uint32) {
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // struct seccomp_data: nr
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_IOCTL, Jf: 3},
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 24}, // args[1]
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: request, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | errno},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	runtime.LockOSThread()
	err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
	if err == nil {
		err = unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "no seccomp:", err)
		os.Exit(77)
	}
}

// refused is the command with a kernel that refuses the request.
func refused(t *testing.T, request uint32, errno syscall.Errno, args ...string) *exec.Cmd {
	t.Helper()
	if littleEndian(1) != 1 {
		t.Skip("the filter is written for little-endian machines")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, append([]string{program(t)}, args...)...)
	cmd.Env = append(os.Environ(), "CLONERAND_TEST_HELPER=refuse", fmt.Sprint("REFUSED_REQUEST=", request), fmt.Sprint("REFUSED_ERRNO=", uint16(errno)))
	return cmd
}

func TestGuardOnceSaysWhetherTheKernelReseeded(t *testing.T) {
	needGuard(t)
	idFile := filepath.Join(t.TempDir(), "id")
	if err := os.WriteFile(idFile, []byte("this clone alone\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{nil, {"-id", "c0ffee"}, {"-id", strings.Repeat("07", 500)}, {"-id-file", idFile}} {
		out, err := exec.Command(program(t), append([]string{"guard", "-once"}, args...)...).CombinedOutput()
		if err != nil || string(out) != "The kernel has reseeded its generator.\n" {
			t.Errorf("guard -once %v: %v, %s", args, err, out)
		}
	}
	for _, c := range []struct {
		request uint32
		errno   syscall.Errno
		want    string
	}{
		{unix.RNDADDENTROPY, unix.EPERM, "CAP_SYS_ADMIN"},
		{unix.RNDRESEEDCRNG, unix.EPERM, "CAP_SYS_ADMIN"},
		{unix.RNDADDENTROPY, unix.ENOTTY, "/dev/random is not the kernel's"},
		{unix.RNDADDENTROPY, unix.EFAULT, "RNDADDENTROPY: bad address"},
		{unix.RNDRESEEDCRNG, unix.EINVAL, "has no RNDRESEEDCRNG (Linux 4.17)"},
		{unix.RNDRESEEDCRNG, unix.ENODATA, "not initialized yet (ENODATA)"},
		{unix.RNDRESEEDCRNG, unix.EIO, "RNDRESEEDCRNG: input/output error"},
	} {
		cmd := refused(t, c.request, c.errno, "guard", "-once")
		out, _ := cmd.CombinedOutput()
		switch cmd.ProcessState.ExitCode() {
		case 77:
			t.Skipf("%s", out)
		case 1:
			if strings.HasPrefix(string(out), "clonerand: ") && strings.Contains(string(out), c.want) {
				continue
			}
		}
		t.Errorf("%v of %x: %v, %s, want %q", c.errno, c.request, cmd.ProcessState, out, c.want)
	}
}

func TestGuardNeedsTheCapability(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give its capabilities away")
	}
	skipEmulated(t, "QEMU passes RNDADDENTROPY's pointer on as it is")
	for _, args := range [][]string{{"guard"}, {"guard", "-once"}} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second) // a daemon that is permitted does not end
		defer cancel()
		cmd := exec.CommandContext(ctx, "/dev/fd/3", args...) // nobody may not look into the folder
		f, err := os.Open(program(t))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		cmd.ExtraFiles = []*os.File{f}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534, NoSetGroups: true}}
		out, err := cmd.CombinedOutput()
		if errors.Is(err, os.ErrPermission) {
			t.Skip("nobody may not start the program:", err)
		}
		if cmd.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), "CAP_SYS_ADMIN") {
			t.Errorf("%v: %v, %s", args, cmd.ProcessState, out)
		}
	}
}

// startGuard starts a daemon under a systemd of its own, and waits for READY=1. stop ends it and returns what it wrote.
func startGuard(t testing.TB, cmd *exec.Cmd) (stop func() string) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	cmd.Env = append(cmd.Env, "NOTIFY_SOCKET="+socket)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = func() string {
		cmd.Process.Signal(syscall.SIGTERM)
		late := time.AfterFunc(20*time.Second, func() { cmd.Process.Kill() })
		defer late.Stop()
		if err := cmd.Wait(); err != nil && cmd.ProcessState.ExitCode() != 77 {
			t.Errorf("after SIGTERM: %v\n%s", err, &stderr)
		}
		return stderr.String()
	}
	conn.SetReadDeadline(time.Now().Add(30 * time.Second))
	b := make([]byte, 100)
	n, err := conn.Read(b)
	if got := string(b[:n]); err != nil || got != "READY=1" {
		t.Fatalf("systemd was told %q, %v: %s", got, err, stop())
	}
	return stop
}

func TestSystemdIsToldOnASocketOfEitherKind(t *testing.T) {
	for _, name := range []string{filepath.Join(t.TempDir(), "notify"), fmt.Sprintf("@clonerand-test-%d", os.Getpid())} {
		t.Setenv("NOTIFY_SOCKET", name)
		if err := notifySystemd("READY=1"); err == nil {
			t.Errorf("%s: no error without a listener", name)
		}
		conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := notifySystemd("READY=1"); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 100)
		if n, err := conn.Read(b); string(b[:n]) != "READY=1" {
			t.Errorf("%s: %q, %v", name, b[:n], err)
		}
	}
	for range 100_000 { // nobody reads any more
		if err := notifySystemd("READY=1"); err != nil {
			break
		}
	}
	if err := notifySystemd("READY=1"); !errors.Is(err, unix.EAGAIN) {
		t.Errorf("to a reader that is stuck: %v", err)
	}
	t.Setenv("NOTIFY_SOCKET", "")
	if err := notifySystemd("READY=1"); err != nil {
		t.Errorf("without systemd: %v", err)
	}
}

// ticks returns the counter values that guard -v wrote.
func ticks(t *testing.T, log string) (counters []uint64) {
	t.Helper()
	for lines := bufio.NewScanner(strings.NewReader(log)); lines.Scan(); {
		var n int
		var counter uint64
		line := strings.Replace(lines.Text(), "cycle counter", "clock", 1)
		if _, err := fmt.Sscanf(line, "tick %d clock %d", &n, &counter); err != nil {
			continue
		}
		counters = append(counters, counter)
		if n != len(counters) {
			t.Errorf("tick %d is the %dth", n, len(counters))
		}
	}
	return counters
}

func TestGuardTicksUntilItIsTerminated(t *testing.T) {
	needGuard(t)
	stop := startGuard(t, exec.Command(program(t), "guard", "-v", "-every", "5ms"))
	time.Sleep(500 * time.Millisecond)
	log := stop()
	counters := ticks(t, log)
	if len(counters) < 5 {
		t.Errorf("%d ticks of 5 ms in 500 ms", len(counters))
	}
	for i := 1; i < len(counters); i++ {
		if counters[i] <= counters[i-1] {
			t.Errorf("tick %d at %d, the next at %d", i, counters[i-1], counters[i])
		}
	}
	if lines := regexp.MustCompile(`(?m)^clonerand guard: .*`).FindAllString(log, -1); len(lines) != 1 ||
		!regexp.MustCompile(`^clonerand guard: the kernel reseeds each 5ms; a tick takes [0-9.]+.?s(; one at once when this moves: [a-z ,]+)?$`).MatchString(lines[0]) {
		t.Errorf("it says %q", lines)
	}
}

// Stopped for a while, as in a suspended machine, it goes on: with one tick and not with all that it has missed.
func TestGuardGoesOnAfterAStop(t *testing.T) {
	needGuard(t)
	cmd := exec.Command(program(t), "guard", "-v", "-every", "100ms")
	stop := startGuard(t, cmd)
	time.Sleep(150 * time.Millisecond)
	cmd.Process.Signal(syscall.SIGSTOP)
	time.Sleep(2 * time.Second)
	cmd.Process.Signal(syscall.SIGCONT)
	time.Sleep(350 * time.Millisecond)
	if n := len(ticks(t, stop())); n < 3 || n > 10 {
		t.Errorf("%d ticks of 100 ms in 0.5 s before and after a stop of 2 s", n)
	}
}

// A signal does not wait for the next tick.
func TestGuardTicksWhenASignalMoves(t *testing.T) {
	needGuard(t)
	path, _ := newGeneration(t)
	cmd := exec.Command(program(t), "guard", "-v", "-every", "1m")
	cmd.Env = append(os.Environ(), "CLONERAND_GENERATION="+path)
	stop := startGuard(t, cmd)
	for range 3 {
		time.Sleep(200 * time.Millisecond)
		signalRun(t, 0, "bump", path)
	}
	time.Sleep(500 * time.Millisecond)
	log := stop()
	if n := len(ticks(t, log)); n != 4 || !strings.Contains(log, "one at once when this moves: generation file") {
		t.Errorf("%d ticks, want one at the start and 3 for bumps\n%s", n, log)
	}
}

// To look for signals in between does not make the ticks fewer, nor does a stop make the next one late.
func TestGuardTicksOnTimeWhereASignalIsWatched(t *testing.T) {
	needGuard(t)
	path, _ := newGeneration(t)
	watching := func(every string) *exec.Cmd {
		cmd := exec.Command(program(t), "guard", "-v", "-every", every)
		cmd.Env = append(os.Environ(), "CLONERAND_GENERATION="+path)
		return cmd
	}
	most := 0
	for range 3 { // a machine that is busy loses some
		cmd := watching("11ms")
		stop := startGuard(t, cmd)
		time.Sleep(1100 * time.Millisecond)
		most = max(most, len(ticks(t, stop())))
	}
	if most < 70 || most > 120 {
		t.Errorf("%d ticks of 11 ms in 1.1 s", most)
	}

	cmd := watching("3s")
	stop := startGuard(t, cmd)
	cmd.Process.Signal(syscall.SIGSTOP)
	time.Sleep(4 * time.Second)
	cmd.Process.Signal(syscall.SIGCONT)
	time.Sleep(500 * time.Millisecond)
	if n := len(ticks(t, stop())); n != 2 {
		t.Errorf("%d ticks of 3 s at the start and right after a stop of 4 s", n)
	}
}

// Who does not read what it says cannot keep it from ending.
func TestGuardEndsWhereNobodyReadsItsLines(t *testing.T) {
	needGuard(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := unix.FcntlInt(w.Fd(), unix.F_SETPIPE_SZ, 4096); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program(t), "guard", "-v", "-every", "1ms")
	cmd.Stderr = w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	time.Sleep(time.Second) // 4096 bytes are 120 lines
	cmd.Process.Signal(syscall.SIGTERM)
	late := time.AfterFunc(20*time.Second, func() { cmd.Process.Kill() })
	defer late.Stop()
	if err := cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
}

// A kernel that cannot reseed yet, or at all, gets bytes all the same; it is said once, and not at each tick.
func TestGuardGoesOnWhereTheKernelRefuses(t *testing.T) {
	needGuard(t)
	for errno, want := range map[syscall.Errno]string{unix.ENODATA: "not initialized yet", unix.EINVAL: "has no RNDRESEEDCRNG"} {
		stop := startGuard(t, refused(t, unix.RNDRESEEDCRNG, errno, "guard", "-v", "-every", "5ms"))
		time.Sleep(200 * time.Millisecond)
		log := stop()
		if strings.HasPrefix(log, "no seccomp") {
			t.Skip(log)
		}
		if len(ticks(t, log)) > 0 || strings.Count(log, "\n") != 1 || !strings.Contains(log, want) {
			t.Errorf("%v: %s\nwant one line with %q", errno, log, want)
		}
	}
}

// The cost is in the wake-ups. A loop of time.Sleep has four to six a tick.
func TestGuardWakesUpOnceATick(t *testing.T) {
	needGuard(t)
	for _, row := range clonerand.Inspect(0) {
		if (row.Name == "pause" || row.Name == "random instruction") && !row.Active {
			t.Skipf("the package asks the kernel at each tick, which wakes the runtime: no %s here", row.Name)
		}
	}
	cmd := exec.Command(program(t), "guard")
	stop := startGuard(t, cmd)
	defer stop()
	time.Sleep(200 * time.Millisecond) // the start is over
	before, start := wakeUps(t, cmd.Process.Pid), time.Now()
	time.Sleep(2 * time.Second)
	got := wakeUps(t, cmd.Process.Pid) - before
	if most := int(time.Since(start)/(10*time.Millisecond))*3/2 + 20; got > most || got < 5 {
		t.Errorf("%d wake-ups in %v, want 5 to %d", got, time.Since(start), most)
	}
}

// wakeUps counts how often the threads of a process have gone to sleep.
func wakeUps(t testing.TB, pid int) (n int) {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(files) == 0 {
		t.Fatal(err, files)
	}
	for _, file := range files {
		status, _ := os.ReadFile(file)
		count := regexp.MustCompile(`(?m)^voluntary_ctxt_switches:\s+(\d+)$`).FindSubmatch(status)
		if count == nil {
			t.Skip("the kernel does not count how often a thread sleeps")
		}
		m, _ := strconv.Atoi(string(count[1]))
		n += m
	}
	return n
}

func TestAKernelThatWantsCreditIsTold(t *testing.T) {
	for _, c := range []struct {
		size, available string
		want            error
	}{
		{"256\n", "256\n", nil},             // since 5.19
		{"256\n", "0\n", errUncredited},     // 5.18, which has used up what it had
		{"4096\n", "3417\n", errUncredited}, // 5.10
		{"", "", nil},                       // no /proc: nobody can tell
	} {
		dir := t.TempDir()
		for name, content := range map[string]string{"poolsize": c.size, "entropy_avail": c.available} {
			if content != "" {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
		if got := takesUncredited(dir); got != c.want {
			t.Errorf("a pool of %q with %q: %v, want %v", c.size, c.available, got, c.want)
		}
	}
}

func TestAPauseWithinATickMakesItAgain(t *testing.T) {
	needGuard(t)
	k, err := openKernel()
	if err != nil {
		t.Fatal(err)
	}
	defer k.close()
	if err := k.measure(nil); err != nil {
		t.Fatal(err)
	}
	for pauses, want := range map[int]int{0: 1, 1: 2, 3: 4, 100: 8} {
		readings, now := 0, uint64(0)
		k.counter = func() uint64 { // one reading before a try and one after
			now++
			if readings++; readings%2 == 0 && readings/2 <= pauses {
				now += k.limit
			}
			return now
		}
		if end, err := k.reseed(nil); err != nil || readings != 2*want || end != now {
			t.Errorf("%d pauses: %d tries, the end at %d, %v, want %d, and the last reading %d", pauses, readings/2, end, err, want, now)
		}
	}
}

// The one tick of a hook comes right after a restore, where the next clone may be made, too.
func TestAPauseWithinTheOnlyTickMakesItAgain(t *testing.T) {
	needGuard(t)
	for pauses, want := range map[int]int{0: 9, 1: 10, 3: 12} { // eight are measured
		k, err := openKernel()
		if err != nil {
			t.Fatal(err)
		}
		defer k.close()
		readings, now := 0, uint64(0)
		k.counter = func() uint64 {
			now++
			if try := readings / 2; readings%2 == 1 && try >= 8 && try < 8+pauses {
				now += 1000
			}
			readings++
			return now
		}
		if err := k.once(nil); err != nil || readings != 2*want {
			t.Errorf("%d pauses: %d tries, %v, want %d", pauses, readings/2, err, want)
		}
	}
}

func TestAnExpirationWhileATickRunsIsNotLost(t *testing.T) {
	timer, err := newKernelTimer(5 * time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer timer.Close()
	late := time.AfterFunc(20*time.Second, func() { timer.Close() })
	defer late.Stop()
	ended, calls, all := errors.New("that is all"), 0, uint64(0)
	err = timer.each(func(expirations uint64) error {
		all += expirations
		if calls++; calls == 10 {
			return ended
		}
		if calls%2 == 1 {
			time.Sleep(30 * time.Millisecond)
		}
		return nil
	})
	if err != ended || all < 5*6 {
		t.Errorf("after %d calls and %d expirations: %v", calls, all, err)
	}
	timer.Close()
	if err := timer.each(func(uint64) error { return ended }); err == nil || err == ended {
		t.Errorf("closed: %v", err)
	}
}

// BenchmarkGuard is what the daemon costs: a loop of crypto/rand reads of 16 bytes beside it, its share of a CPU and
// its wake-ups. Run it with -benchtime 5s or more.
func BenchmarkGuard(b *testing.B) {
	needGuard(b)
	for _, every := range []string{"none", "100ms", "10ms", "1ms"} {
		b.Run(every, func(b *testing.B) {
			var cmd *exec.Cmd
			if every != "none" {
				cmd = exec.Command(program(b), "guard", "-every", every)
				defer startGuard(b, cmd)()
			}
			var buf [16]byte
			var cpu time.Duration
			var wakes int
			if cmd != nil {
				time.Sleep(200 * time.Millisecond)
				cpu, wakes = cpuTime(b, cmd.Process.Pid), wakeUps(b, cmd.Process.Pid)
			}
			start := time.Now()
			for b.Loop() {
				rand.Read(buf[:])
			}
			if cmd != nil {
				took := time.Since(start)
				b.ReportMetric(100*float64(cpuTime(b, cmd.Process.Pid)-cpu)/float64(took), "%CPU")
				b.ReportMetric(float64(wakeUps(b, cmd.Process.Pid)-wakes)/took.Seconds(), "wakes/s")
			}
		})
	}
}

// cpuTime is what the threads of a process have run, by the scheduler's clock.
func cpuTime(b *testing.B, pid int) (sum time.Duration) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil || len(files) == 0 {
		b.Skip("the kernel does not show what a thread has run (CONFIG_SCHED_INFO)")
	}
	for _, file := range files {
		var ran time.Duration
		line, _ := os.ReadFile(file)
		fmt.Sscan(string(line), &ran)
		sum += ran
	}
	return sum
}
