package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/clonerand/rand/internal/vmring"
)

// machine is what a guest runs on. The machine that restores a snapshot must be the one that made it.
type machine struct {
	arch    string // amd64 or arm64
	kernel  string // folder of the cache
	cpu     string
	memory  int      // in MiB; 0: 320
	modules []string // loaded by the guest, in this order
	command bool     // the guest has the clonerand command
	devices []string // arguments of -device
	env     []string // of the guest, as name=value words of the kernel's command line
	disk    string   // image of a virtio disk; empty: none
}

// Without KVM: the tests run on any machine, and are the same everywhere.
var boards = map[string]struct{ qemu, console string }{
	"amd64": {"qemu-system-x86_64 -M q35", "ttyS0"},
	"arm64": {"qemu-system-aarch64 -M virt,gic-version=3", "ttyAMA0"},
}

// cpus is how many each machine has, and goroutines that read.
const cpus = 2

// pollTime is between two looks at what a guest does.
const pollTime = 20 * time.Millisecond

// vm is one QEMU process.
type vm struct {
	dir    string
	cmd    *exec.Cmd
	stderr bytes.Buffer
	gone   chan struct{} // closed when the process has ended
	qmp    *qmp
	dumps  int
}

// span is a piece of the guest's physical memory.
type span struct{ addr, len uint64 }

// start runs QEMU in dir, a folder of its own. The guest boots, or with a snapshot waits in it for
// cont. The process ends with ctx, or by close.
func (m machine) start(ctx context.Context, dir, initramfs, snapshot string) (*vm, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	board := boards[m.arch]
	args := strings.Fields(board.qemu)
	args = append(args, "-accel", "tcg,thread=multi", "-cpu", m.cpu, "-smp", fmt.Sprint(cpus), "-m", fmt.Sprint(cmp.Or(m.memory, 320)),
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-chardev", "socket,id=console,path=console.sock,server=on,wait=off,logfile=console.log",
		"-serial", "chardev:console",
		"-qmp", "unix:qmp.sock,server=on,wait=off",
		"-kernel", filepath.Join(cacheDir(), "kernels", m.kernel, "vmlinuz"), "-initrd", initramfs,
		"-append", "console="+board.console+" loglevel=0 panic=-1 hugepages=48"+
			" GODEBUG=gcshrinkstackoff=1"+
			" CLONERAND_VMTEST=1 CLONERAND_VMTEST_CONSOLE=/dev/"+board.console+" "+strings.Join(m.env, " "))
	for _, d := range m.devices {
		args = append(args, "-device", d)
	}
	if m.disk != "" {
		args = append(args, "-drive", "if=virtio,format=raw,file="+m.disk)
	}
	if snapshot != "" {
		args = append(args, "-S", "-incoming", "file:"+snapshot)
	}

	v := &vm{dir: dir, gone: make(chan struct{})}
	v.cmd = exec.CommandContext(ctx, args[0], args[1:]...)
	v.cmd.Dir, v.cmd.Stderr, v.cmd.SysProcAttr = dir, &v.stderr, dieWithParent()
	if err := v.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { v.cmd.Wait(); close(v.gone) }()

	// A process that ends early is told by its own words, not by a socket that never comes.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-v.gone:
			cancel(fmt.Errorf("%s ended: %s", args[0], &v.stderr))
		case <-ctx.Done():
		}
	}()
	var err error
	if v.qmp, err = dialQMP(ctx, filepath.Join(dir, "qmp.sock")); err != nil {
		v.close()
		return nil, err
	}
	if snapshot != "" {
		err = v.wait(ctx, "query-status", "paused", "inmigrate")
		if err != nil {
			v.close()
			return nil, fmt.Errorf("restore: %w", err)
		}
	}
	return v, nil
}

// close ends the process.
func (v *vm) close() {
	v.cmd.Process.Kill()
	<-v.gone
	if v.qmp != nil {
		v.qmp.conn.Close()
	}
}

// wait polls command until its status is want; while it is one of pending it goes on.
func (v *vm) wait(ctx context.Context, command, want string, pending ...string) error {
	for {
		got, err := v.qmp.status(ctx, command)
		if err != nil {
			return err
		}
		if got == want {
			return nil
		}
		if !strings.Contains(" "+strings.Join(pending, " ")+" ", " "+got+" ") {
			return fmt.Errorf("%s: %q instead of %q", command, got, want)
		}
		if err := sleep(ctx, pollTime); err != nil {
			return err
		}
	}
}

var errEnded = errors.New("the guest ended")

// said looks for a line "vmtest <word> ..." that the guest has printed, and returns what follows the word. A
// complaint of the guest is an error.
func (v *vm) said(word string) (rest string, ok bool, err error) {
	b, err := os.ReadFile(filepath.Join(v.dir, "console.log"))
	if err != nil {
		return "", false, err
	}
	for s := range strings.Lines(string(b)) {
		if !strings.HasSuffix(s, "\n") {
			break // not all of it is there yet
		}
		if _, rest, ok := strings.Cut(s, "vmtest error "); ok {
			return "", false, fmt.Errorf("guest: %s", strings.TrimSpace(rest))
		}
		if _, rest, ok := strings.Cut(s, "vmtest "+word+" "); ok {
			return strings.TrimSpace(rest), true, nil
		}
	}
	select {
	case <-v.gone:
		return "", false, fmt.Errorf("%w; console: %q; QEMU: %s", errEnded, b, &v.stderr)
	default:
		return "", false, nil
	}
}

// line waits for such a line.
func (v *vm) line(ctx context.Context, word string) (string, error) {
	for {
		if rest, ok, err := v.said(word); ok || err != nil {
			return rest, err
		}
		if err := sleep(ctx, pollTime); err != nil {
			return "", fmt.Errorf("no word %q from the guest: %w", word, err)
		}
	}
}

// say writes a line on the guest's console and waits until the guest's terminal has echoed it: what a
// client leaves behind when it goes is lost. It does not stay: a client that does not read makes the
// port drop what the guest prints.
func (v *vm) say(ctx context.Context, line string) error {
	conn, err := net.Dial("unix", filepath.Join(v.dir, "console.sock"))
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if _, err := fmt.Fprintln(conn, line); err != nil {
		return err
	}
	for echo := bufio.NewScanner(conn); ; {
		if !echo.Scan() {
			return fmt.Errorf("the guest's console ended before it echoed: %v", echo.Err())
		}
		if strings.HasSuffix(strings.TrimSpace(echo.Text()), line) {
			return nil
		}
	}
}

// records waits for the guest's word where it records its reads.
func (v *vm) records(ctx context.Context) ([]span, error) {
	line, err := v.line(ctx, "memory")
	if err != nil {
		return nil, err
	}
	var spans []span
	for _, f := range strings.Fields(line) {
		var s span
		if _, err := fmt.Sscanf(f, "0x%x:0x%x", &s.addr, &s.len); err != nil {
			return nil, fmt.Errorf("guest's word on its memory %q: %w", line, err)
		}
		spans = append(spans, s)
	}
	return spans, nil
}

// image copies the guest's records, or their header only. A whole one is taken while the guest stands.
func (v *vm) image(ctx context.Context, spans []span, headerOnly bool) (*vmring.Image, error) {
	if headerOnly {
		spans = []span{{spans[0].addr, vmring.HeaderSize}}
	}
	var all []byte
	for _, s := range spans {
		v.dumps++
		name := filepath.Join(v.dir, fmt.Sprintf("memory.%d", v.dumps))
		err := v.qmp.run(ctx, "pmemsave", map[string]any{"val": s.addr, "size": s.len, "filename": name}, nil)
		if err != nil {
			return nil, err
		}
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		os.Remove(name)
		all = append(all, b...)
	}
	return vmring.Parse(all)
}

// until lets the guest run until each of its logs of the first generator has n more records than
// from, and stops it.
func (v *vm) until(ctx context.Context, spans []span, from *vmring.Image, n uint64) error {
	for {
		img, err := v.image(ctx, spans, true)
		if err != nil {
			return fmt.Errorf("%w; QEMU: %s", err, &v.stderr)
		}
		done := true
		for i := range img.Logs {
			// The others are read less often; they must be there.
			want := uint64(1)
			if img.Logs[i].Name == img.Logs[0].Name {
				want = n
			}
			done = done && img.Logs[i].Count >= from.Logs[i].Count+want
		}
		if done {
			return v.qmp.run(ctx, "stop", nil, nil)
		}
		if err := sleep(ctx, pollTime); err != nil {
			return err
		}
	}
}

// snapshot writes the standing guest to a file.
func (v *vm) snapshot(ctx context.Context, file string) error {
	err := v.qmp.run(ctx, "migrate-set-parameters", map[string]any{"max-bandwidth": uint64(1) << 40}, nil)
	if err != nil {
		return err
	}
	if err := v.qmp.run(ctx, "migrate", map[string]any{"uri": "file:" + file}, nil); err != nil {
		return err
	}
	return v.wait(ctx, "query-migrate", "completed", "setup", "active", "device", "pre-switchover")
}

// generation waits until the guest's Generation is no longer old.
func (v *vm) generation(ctx context.Context, spans []span, old uint64) error {
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, fmt.Errorf("Generation stayed %d", old))
	defer cancel()
	for {
		img, err := v.image(ctx, spans, true)
		if err != nil || img.Generation != old {
			return err
		}
		if err := sleep(ctx, pollTime); err != nil {
			return err
		}
	}
}
