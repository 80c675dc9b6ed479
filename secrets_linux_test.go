package rand

import (
	"bufio"
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The test binary becomes a process that has secrets when this environment variable says
// what is to be done with them, and what is switched off: "fork/slab".
const secretsEnv = "CLONERAND_TEST_SECRETS"

// A secret is sent XORed with this, and lies nowhere in the process in any other form but
// those that the package itself makes.
const secretsMask = 0xa5

func init() { roles = append(roles, secretsHelper) }

// secretsHelper does not return in such a process. It writes the process ID to look at and
// then its secrets, masked, a line each, to descriptor 3, and waits to be killed.
func secretsHelper() {
	role, off, _ := strings.Cut(os.Getenv(secretsEnv), "/")
	if role == "" {
		return
	}
	dieWithParent()
	protect.slab, protect.wipe = off != "slab", off != "wipe"
	debug.SetGCPercent(-1) // the collector would clear some of what is looked for
	switch role {
	case "looks":
		forkAtLooks()
		os.Exit(0)
	case "chain":
		slabChain()
	case "refused":
		slabRefusedHelper(off)
	}
	g, err := New(secretsConfig(role))
	orPanic(err)
	s := g.state()
	out := make([]byte, 0, 1<<15)
	mask := func(name string, b []byte) {
		out = append(out, name...)
		out = append(out, ' ')
		for _, x := range b {
			out = append(out, "0123456789abcdef"[(x^secretsMask)>>4], "0123456789abcdef"[(x^secretsMask)&15])
		}
		out = append(out, '\n')
	}
	if role == "fault" {
		// A fault in the caller's memory, as in NVSeed.Read.
		d := newCTRDRBG(s.drbg.key[:], nil, nil)
		mask("key at the fault", d.key[:])
		// The key of its request is that of now, since it is not seeded before it.
		f, err := New(&Config{Entropy: io.MultiReader(cryptoReader), Deterministic: true})
		orPanic(err)
		mask("key at the fault of a Read", f.state().drbg.key[:])
		// So is the key of a refill, in which a signal faults when the counter was set back.
		w := newWorld(0)
		h := w.host()
		r, err := newGenerator(&Config{Entropy: io.MultiReader(cryptoReader)}, h)
		orPanic(err)
		mask("key at the fault of a refill", r.state().drbg.key[:])
		from := w.readings
		w.before = func(int) {
			if w.readings > from { // the first is of the Read's begin
				w.counter -= us
				h.clones.identity = func() int { panic("a signal") }
			}
		}
		none, err := unix.Mmap(-1, 0, 1<<16, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
		orPanic(err)
		for _, faults := range []func(){func() { d.generate(none, nil) }, func() { f.Read(none) }, func() { r.Read(make([]byte, 16)) }} {
			func() {
				defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
				defer func() {
					if recover() == nil {
						panic("no fault")
					}
				}()
				faults()
			}()
		}
		d.wipe()
	}
	reads := 4
	if role == "keys" {
		reads = 1000
	}
	b := make([]byte, 2000) // a request each
	for i := range reads {
		if role == "keys" && i >= reads-100 {
			if i%10 == 0 {
				for range 2 { // the second is mixed
					_, err := g.Read(b[:16])
					orPanic(err)
					time.Sleep(20 * time.Microsecond)
				}
				mask("key "+strconv.Itoa(i)+" of a mix", s.buffer.key[:])
			}
			mask("key "+strconv.Itoa(i), s.drbg.key[:])
			if i%2 == 0 {
				g.Deplete() // a seeding uses the key, too
			}
		}
		_, err := g.Read(b)
		orPanic(err)
	}
	if role == "keys" {
		mask("input of a derivation", b)
		s.drbg.collect(b)
	}
	pid := unix.Getpid()
	if role == "abort" {
		var limit unix.Rlimit
		orPanic(unix.Getrlimit(unix.RLIMIT_CORE, &limit))
		limit.Cur = limit.Max
		orPanic(unix.Setrlimit(unix.RLIMIT_CORE, &limit))
	}
	if role == "close" {
		for i := range 3 {
			orPanic(g.Reseed(b[:16]))
			g.Deplete()
			_, err := g.Read(b)
			orPanic(err)
			mask("chain "+strconv.Itoa(i), g.pool.epoch.Load().chain[:])
			mask("key "+strconv.Itoa(i), s.drbg.key[:])
			_, err = g.Read(b)
			orPanic(err)
		}
		orPanic(g.Close())
	}
	if role == "memory" || role == "abort" || role == "fork" {
		mask("key of the kept output", s.drbg.key[:])
		_, err := g.Read(b[:16])
		orPanic(err)
		mask("the key", s.drbg.key[:])
		mask("V", s.drbg.v[:])
		for i := s.buffer.pos; i+32 <= bufferLen; i += 32 {
			mask("output "+strconv.Itoa(i), s.buffer.out[i:i+32])
		}
		if role == "fork" {
			child, errno := forkRaw(0, 0)
			if errno != 0 {
				panic(errno)
			}
			for child == 0 {
				unix.RawSyscall(unix.SYS_CLOSE, 3, 0, 0) // so that the test sees the end of it
				unix.RawSyscall(unix.SYS_PPOLL, 0, 0, 0) // for ever
			}
			pid = child
		}
	}
	w := os.NewFile(3, "pipe")
	fmt.Fprintln(w, pid)
	w.Write(out)
	w.Close()
	for {
		unix.RawSyscall(unix.SYS_PPOLL, 0, 0, 0)
	}
}

// secretsKept is the inputs of a process that forgets to wipe them, to show that they
// would be found.
var secretsKept = make([]byte, 0, 8*entropyLen)

// secretsConfig is the default one, or has an Entropy or a seed file whose bytes are known
// to the test. Descriptor 4 gives the Entropy's, masked.
func secretsConfig(role string) *Config {
	switch role {
	case "entropy":
		masked := make([]byte, 8*entropyLen)
		_, err := io.ReadFull(os.NewFile(4, "entropy"), masked)
		orPanic(err)
		return &Config{ReseedInterval: 1, Entropy: readerFunc(func(b []byte) (int, error) {
			for i := range b {
				b[i] = masked[i] ^ secretsMask
			}
			secretsKept = append(secretsKept, b...)
			if protect.slab { // not switched off
				clear(secretsKept)
			}
			masked = masked[len(b):]
			return len(b), nil
		})}
	case "seed":
		seed, err := OpenNVSeed(os.Getenv(secretsEnv + "_FILE"))
		orPanic(err)
		if !protect.slab {
			secretsKept, err = os.ReadFile(os.Getenv(secretsEnv + "_FILE"))
			orPanic(err)
		}
		return &Config{NVSeed: seed}
	}
	return nil
}

// holder is a process that has secrets.
type holder struct {
	cmd     *exec.Cmd
	pid     int // where they are looked for: its own or a child's
	secrets map[string][]byte
}

// startSecrets starts a process that has secrets, and returns what it writes to descriptor 3.
// The process ends with the test, and one that says no more within two minutes hangs.
func startSecrets(t *testing.T, roleAndOff string, options ...func(*exec.Cmd)) (cmd *exec.Cmd, out *os.File) {
	t.Helper()
	out, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	cmd = testBinary(context.Background(), "-test.run=^$")
	if cmd.Path, err = filepath.Abs(cmd.Path); err != nil { // an option may change the folder
		t.Fatal(err)
	}
	cmd.Env = append(os.Environ(), secretsEnv+"="+roleAndOff)
	cmd.ExtraFiles, cmd.Stderr = []*os.File{w}, os.Stderr
	for _, o := range options {
		o(cmd)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		out.Close()
	})
	out.SetReadDeadline(time.Now().Add(2 * time.Minute))
	return cmd, out
}

func startHolder(t *testing.T, role, off, file string, entropy []byte) *holder {
	t.Helper()
	in, feed, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	cmd, r := startSecrets(t, role+"/"+off, func(cmd *exec.Cmd) {
		cmd.Env = append(cmd.Env, secretsEnv+"_FILE="+file)
		cmd.ExtraFiles = append(cmd.ExtraFiles, in)
		cmd.Dir = t.TempDir()
		if role == "abort" {
			cmd.Env = append(cmd.Env, "GOTRACEBACK=crash") // the runtime then aborts as C programs do
			cmd.Stderr = nil
		}
	})
	h := &holder{cmd: cmd, secrets: map[string][]byte{}}
	t.Cleanup(func() {
		if h.pid != cmd.Process.Pid && h.pid > 1 {
			unix.Kill(h.pid, unix.SIGKILL)
		}
	})
	masked := bytes.Clone(entropy)
	for i := range masked {
		masked[i] ^= secretsMask
	}
	feed.Write(masked)
	feed.Close()
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := lines.Text()
		if h.pid == 0 {
			h.pid, _ = strconv.Atoi(line)
			continue
		}
		at := strings.LastIndexByte(line, ' ')
		var secret []byte
		if _, err := fmt.Sscanf(line[at+1:], "%x", &secret); err != nil {
			t.Fatal(line, err)
		}
		for i := range secret {
			secret[i] ^= secretsMask
		}
		h.secrets[line[:at]] = secret
	}
	if h.pid == 0 {
		t.Fatal("the process that has secrets says nothing: ", lines.Err())
	}
	return h
}

// memory is all of the process that can be written to, read from outside.
func (h *holder) memory(t *testing.T) []byte {
	t.Helper()
	layout, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", h.pid))
	if err != nil {
		t.Fatal(err)
	}
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", h.pid))
	if os.IsPermission(err) {
		t.Skip("the memory of another process cannot be read here: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	var all []byte
	for line := range strings.Lines(string(layout)) {
		var from, to int64
		var mode string
		fmt.Sscanf(line, "%x-%x %s", &from, &to, &mode)
		if !strings.HasPrefix(mode, "rw") || to-from > 1<<28 {
			continue
		}
		b := make([]byte, to-from)
		n, _ := mem.ReadAt(b, from)
		all = append(all, b[:n]...)
	}
	if len(all) < 1<<20 {
		t.Fatalf("only %d bytes of memory could be read", len(all))
	}
	return all
}

// core is the memory in a core dump of the process. Nobody can promise anything of the
// registers, which lie in it beside that: the vector registers hold the last blocks that the
// CPU has made or moved.
func (h *holder) core(t *testing.T) []byte {
	t.Helper()
	if testing.Short() {
		t.Skip("gcore takes seconds")
	}
	gcore, err := exec.LookPath("gcore")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("no gcore (Debian package gdb)")
	}
	to := filepath.Join(t.TempDir(), "core")
	if out, err := exec.Command(gcore, "-o", to, strconv.Itoa(h.pid)).CombinedOutput(); err != nil {
		t.Skipf("gcore: %v\n%s", err, out)
	}
	return loaded(t, fmt.Sprintf("%s.%d", to, h.pid))
}

// abort is core, of a core dump that the kernel makes when the process is told to abort.
func (h *holder) abort(t *testing.T) []byte {
	t.Helper()
	pattern, _ := os.ReadFile("/proc/sys/kernel/core_pattern")
	if strconv.IntSize == 32 {
		t.Skip("on 32 bits the vector registers are not cleared, and a signal writes them to a stack")
	}
	if p := strings.TrimSpace(string(pattern)); p != "core" {
		t.Skipf("/proc/sys/kernel/core_pattern is %q: who knows where core dumps go", p)
	}
	if uses, _ := os.ReadFile("/proc/sys/kernel/core_uses_pid"); strings.TrimSpace(string(uses)) != "0" {
		t.Skip("/proc/sys/kernel/core_uses_pid is set")
	}
	h.cmd.Process.Signal(unix.SIGABRT)
	if h.cmd.Wait(); !h.cmd.ProcessState.Sys().(syscall.WaitStatus).CoreDump() {
		t.Skip("no core is dumped here: ", h.cmd.ProcessState)
	}
	return loaded(t, filepath.Join(h.cmd.Dir, "core"))
}

// loaded is the memory in a core dump.
func loaded(t *testing.T, file string) []byte {
	t.Helper()
	f, err := elf.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []byte
	for _, p := range f.Progs {
		if p.Type == elf.PT_LOAD && p.Filesz > 0 {
			b := make([]byte, p.Filesz)
			if _, err := p.ReadAt(b, 0); err != nil {
				t.Fatal(err)
			}
			all = append(all, b...)
		}
	}
	return all
}

// found names the secrets that are in memory, as they are or as words of the other byte
// order: so crypto/aes expands keys in plain Go.
func (h *holder) found(memory []byte) (names []string) {
	type form struct {
		name  string
		bytes []byte
	}
	var starts [1 << 16][]form // by the first two bytes
	add := func(name string, b []byte) {
		at := binary.LittleEndian.Uint16(b)
		starts[at] = append(starts[at], form{name, b})
	}
	for name, secret := range h.secrets {
		swapped := make([]byte, len(secret))
		for i := 0; i+4 <= len(secret); i += 4 {
			binary.LittleEndian.PutUint32(swapped[i:], binary.BigEndian.Uint32(secret[i:]))
		}
		add(name, secret)
		add(name, swapped)
	}
	for name, secret := range h.secrets {
		if strings.HasPrefix(name, "key ") {
			for _, part := range keyParts(secret) {
				add(name, part)
			}
		}
	}
	have := map[string]bool{}
	for i := 0; i+2 <= len(memory); i++ {
		for _, f := range starts[binary.LittleEndian.Uint16(memory[i:])] {
			if bytes.HasPrefix(memory[i:], f.bytes) {
				have[f.name] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(have))
}

// keyParts is the parts of an expanded key that give back the key: two round keys that follow
// each other, to encrypt or to decrypt with.
func keyParts(key []byte) (parts [][]byte) {
	b := expandAES(key)
	v := reflect.ValueOf(b)
	all := unsafe.Slice((*byte)(v.UnsafePointer()), v.Type().Elem().Size())
	all = all[len(all)-2*15*blockLen:] // 15 round keys each way
	for i := 0; i+2*blockLen <= len(all); i += blockLen {
		if i != 14*blockLen { // the end of one and the start of the other
			parts = append(parts, bytes.Clone(all[i:i+2*blockLen]))
		}
	}
	return parts
}

// TestSecretsAreNotFound looks for the secrets of a real process in a core dump of it, in a
// forked child, and in its own memory. Each time it also looks where the protection is
// switched off: they must be found there, or the test would show nothing.
func TestSecretsAreNotFound(t *testing.T) {
	needsSlab(t)
	if raceEnabled {
		t.Skip("the race detector keeps copies of memory")
	}
	if !wipesCiphers() {
		t.Skip("crypto/aes has a layout that is not known")
	}
	dir := t.TempDir()
	entropy := make([]byte, 8*entropyLen)
	Read(entropy)
	for _, c := range []struct {
		name, role, off string
		look            func(*holder, *testing.T) []byte
	}{
		{"a core dump by gcore", "memory", "slab", (*holder).core},
		{"a core dump of the kernel", "abort", "slab", (*holder).abort},
		{"a forked child", "fork", "slab", (*holder).memory},
		{"the last 100 keys", "keys", "wipe", (*holder).memory},
		{"a closed generator", "close", "wipe", (*holder).memory},
		{"a fault in the caller's memory", "fault", "wipe", (*holder).memory},
		{"entropy", "entropy", "slab", (*holder).memory},
		{"the seed file", "seed", "slab", (*holder).memory},
	} {
		for _, off := range []string{"", c.off} {
			name := c.name
			if off != "" {
				name += ", with the protection off"
			}
			t.Run(name, func(t *testing.T) {
				// A signal at the wrong time writes registers to a stack, see SECURITY.md: what is found
				// is found each time.
				var h *holder
				var found []string
				for range 3 {
					file := filepath.Join(dir, "seed")
					os.Remove(file)
					var before, after []byte
					if c.role == "seed" {
						if err := CreateNVSeed(file); err != nil {
							t.Skip("no seed file here: ", err)
						}
						before, _ = os.ReadFile(file)
					}
					h = startHolder(t, c.role, off, file, entropy)
					switch c.role {
					case "seed":
						after, _ = os.ReadFile(file)
						if len(before) < 48 || bytes.Equal(before, after) {
							t.Fatalf("the seed file was not drawn from: %d bytes", len(before))
						}
						h.secrets["the seed file's bytes before"] = before[len(before)-32:]
						h.secrets["the seed file's bytes after"] = after[len(after)-32:]
					case "keys":
						h.secrets["key of a derivation"], _ = referenceDFKey(h.secrets["input of a derivation"])
						delete(h.secrets, "input of a derivation")
					case "entropy":
						for i := 0; i < 3*entropyLen; i += 24 {
							h.secrets[fmt.Sprint("entropy ", i)] = entropy[i : i+24]
						}
					}
					if len(h.secrets) == 0 {
						t.Fatal("no secrets")
					}
					found = h.found(c.look(h, t))
					if off != "" || len(found) == 0 {
						break
					}
				}
				if off == "" && len(found) > 0 {
					t.Errorf("%d of %d secrets are found: %q", len(found), len(h.secrets), found[:min(8, len(found))])
				}
				if off != "" && len(found) == 0 {
					t.Errorf("none of %d secrets is found: this test shows nothing", len(h.secrets))
				}
				t.Logf("%d of %d found", len(found), len(h.secrets))
			})
		}
	}
}
