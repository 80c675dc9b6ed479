package rand

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/clonerand/rand/internal/probe"
	"github.com/clonerand/rand/internal/vmguest"
)

// A role turns this test binary into a helper process, where an environment variable asks
// for it. It then does not return.
var roles = []func(){vmGuest}

func TestMain(m *testing.M) {
	for _, role := range roles {
		role()
	}
	os.Exit(m.Run())
}

// raceEnabled reports whether the race detector is in this binary.
var raceEnabled = func() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}()

// readerFunc is an io.Reader that is a function.
type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// newHost is the real machine, seen anew.
func newHost() *host { return new(hostParts).host() }

// number is the number by the watched words, without the process ID.
func (w *cloneWatch) number() uint64 {
	if g := w.last.Load(); g != nil && g.holds() {
		return g.number
	}
	return w.look().number
}

// bump moves the number for a reason that is no clone, and explains no reading of the counter.
func (w *cloneWatch) bump() { w.setBack(^uint64(0)) }

// noDetectors is a clone watch that never sees anything.
func noDetectors() *cloneWatch {
	return &cloneWatch{
		forkPage: func() (*uint64, string) { return nil, "switched off for a test" },
		identity: func() int { return 1 },
	}
}

// wordsSignal is a clone signal in plain memory. A change of a word in watch tells of a clone;
// one of a word in hints may have another cause.
func wordsSignal(memory []uint64, watch, hints []int) []func() signal {
	return []func() signal{func() signal { return signal{name: "test", memory: memory, watch: watch, hints: hints} }}
}

// pidOnly is a clone watch that looks at the process ID and at nothing else.
func pidOnly() *cloneWatch {
	w := noDetectors()
	w.identity = processID
	return w
}

// newPauseDetector returns one for the CPU's own counter that is not measured yet.
func newPauseDetector() *pauseDetector {
	p := new(pauseDetector)
	p.since.store(packageInit)
	return p
}

// neverPaused is a detector on the real counter to which no time is long enough.
// Its rate is 0, so that a burst has one turn.
func neverPaused() *pauseDetector {
	p := newPauseDetector()
	if ok, _ := hasCounter(); !ok {
		var ticks atomic.Uint64
		p.read = func() uint64 { return ticks.Add(1) }
		p.readFenced = p.read
	}
	l := &pauseLimits{g: 1 << 61}
	l.allowance.Store(l.g)
	p.limits.Store(l)
	return p
}

// counterOff is a detector on a machine without a usable counter.
func counterOff() *pauseDetector {
	p := new(pauseDetector)
	p.limits.Store(&pauseLimits{why: "switched off for a test"})
	return p
}

// newReaderOn is a default Reader on the given machine.
func newReaderOn(h *host) *pool { return newPool(h, 16) }

// newPool is one with n shards, a power of two.
func newPool(h *host, n int) *pool {
	p := new(pool)
	p.set(newConfig(h), &epoch{id: 1}, n)
	return p
}

// only is p with shard i alone.
func (p *pool) only(i int) *pool {
	sh := p.shards.Load()
	if sh.states[i].Load() == nil {
		sh.states[i].Store(newState(sh.conf, sh.forks))
	}
	one := new(pool)
	one.set(sh.conf, p.epoch.Load(), 1)
	one.shards.Load().forks = sh.forks
	one.shards.Load().states[0].Store(sh.states[i].Load())
	return one
}

// parts are what a Read begins with.
func (p *pool) parts() (*epoch, *shards) { return p.epoch.Load(), p.shards.Load() }

func (g *Generator) conf() *config { return g.pool.shards.Load().conf }

func (g *Generator) state() *state { return g.pool.shards.Load().states[0].Load() }

// limitsAt is a counter of that rate, so fine that two readings are never equal.
func limitsAt(rate float64) *pauseLimits {
	l := new(pauseLimits)
	l.setRate(rate)
	l.zero = 1
	return l
}

// newUnguardedReader is a default Reader with the pause detector, the fork detectors
// and the signals off: what every user-space generator is that nobody tells.
func newUnguardedReader() io.Reader {
	h := newHost()
	h.clones, h.pause = noDetectors(), neverPaused()
	if h.random == nil {
		// Without the instruction a salt takes a share of the longest time that is no pause.
		h.random = inPairs(func() (x uint64, ok bool) {
			var b [8]byte
			err := readEntropy(h.system, b[:])
			return binary.LittleEndian.Uint64(b[:]), err == nil
		})
	}
	return newReaderOn(h)
}

// inPairs is a random instruction of a host from one that gives a word at a time.
func inPairs(word func() (x uint64, ok bool)) func() (x, y uint64, ok bool) {
	return func() (x, y uint64, ok bool) {
		x, okX := word()
		y, okY := word()
		return x, y, okX && okY
	}
}

// A fakeCounter is a cycle counter that a test drives: each reading advances it by
// step, and then by what jump says for the reading of that number.
type fakeCounter struct {
	now      uint64
	step     uint64
	readings int
	jump     func(reading int) uint64
}

func (c *fakeCounter) read() uint64 {
	c.now += c.step
	if c.jump != nil {
		c.now += c.jump(c.readings)
	}
	c.readings++
	return c.now
}

// detector is a pause detector on c, a counter of 1 GHz.
func (c *fakeCounter) detector() *pauseDetector {
	p := &pauseDetector{read: c.read, readFenced: c.read}
	p.since.store(p.readMoment())
	p.limits.Store(limitsAt(1e9))
	return p
}

// A countingSource is an entropy source that counts and can fail. Its stream is
// the same for the same name.
type countingSource struct {
	mu       sync.Mutex
	stream   *mathrand.ChaCha8
	seedings int         // calls for the bytes of a seeding
	others   int         // calls for anything else, as the salts of mixes are
	fail     error       // what to return instead of bytes
	onDraw   func(n int) // called at each seeding, with its number
}

func newSource(name string) *countingSource {
	var seed [32]byte
	copy(seed[:], name)
	return &countingSource{stream: mathrand.NewChaCha8(seed)}
}

func (s *countingSource) Read(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(b) != entropyLen {
		s.others++
	} else if s.seedings++; s.onDraw != nil {
		s.onDraw(s.seedings)
	}
	if s.fail != nil {
		return 0, s.fail
	}
	return s.stream.Read(b)
}

// E is how often a seeding was drawn since it was last asked.
func (s *countingSource) E() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.seedings
	s.seedings = 0
	return n
}

func (s *countingSource) setFail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = err
}

func (s *countingSource) setOnDraw(f func(int)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onDraw = f
}

// quietHost is a machine without detectors, pauses and random instruction, whose
// system source is s. Only
// the clocks in a first seeding from the system source are not deterministic.
func quietHost(s *countingSource) *host {
	p := neverPaused()
	var ticks atomic.Uint64
	p.read = func() uint64 { return ticks.Add(1) }
	p.readFenced = p.read
	return &host{clones: noDetectors(), pause: p, system: s}
}

// mixingHost is the same without a usable counter: every small Read mixes.
func mixingHost(s *countingSource) *host {
	return &host{clones: noDetectors(), pause: counterOff(), system: s}
}

// A randomness is what Generator and the default reader have in common, so that
// the contracts of both can be tables.
type randomness struct {
	name    string
	Read    func([]byte) (int, error)
	Reseed  func(perso []byte) error
	Deplete func()
	Resist  func(bool) error
	source  *countingSource

	// reseedDraws is how often the Read after a Reseed seeds: a Generator is seeded by
	// Reseed itself, while the default reader's shards seed before their next use.
	reseedDraws int

	largeReseeds bool // every 64 KiB of a large Read starts with a seeding of its own
}

// bothKinds are a Generator with its own source, one on the system source, and
// default readers with and without a usable counter, all with one shard.
func bothKinds(t testing.TB) []randomness {
	t.Helper()
	own := newSource("own")
	kinds := []randomness{generatorKind(t, "Generator with its own source", &Config{Entropy: own, Deterministic: true}, quietHost(newSource("not to be used")), own)}
	mixing := newSource("mixing")
	kinds = append(kinds, generatorKind(t, "Generator with its own source, mixing", &Config{Entropy: mixing}, mixingHost(newSource("machine")), mixing))
	system := newSource("system")
	kinds = append(kinds, generatorKind(t, "Generator on the system source", &Config{}, quietHost(system), system))
	for _, c := range []struct {
		name string
		host func(*countingSource) *host
	}{{"default reader", quietHost}, {"default reader without a counter", mixingHost}} {
		s := newSource(c.name)
		x := readerKind(c.name, newReaderOn(c.host(s)), s)
		x.largeReseeds = x.name == "default reader without a counter"
		kinds = append(kinds, x)
	}
	return kinds
}

func generatorKind(t testing.TB, name string, cfg *Config, h *host, s *countingSource) randomness {
	t.Helper()
	g, err := newGenerator(cfg, h)
	if err != nil {
		t.Fatal(err)
	}
	return randomness{name: name, Read: g.Read, Reseed: g.Reseed, Deplete: g.Deplete, Resist: g.SetPredictionResistance, source: s}
}

func readerKind(name string, r *pool, s *countingSource) randomness {
	r.start()
	r.shards.Load().states = r.shards.Load().states[:1]
	resist := func(on bool) error { r.resist(on); return nil }
	return randomness{name: name, Read: r.Read, Reseed: r.reseed, Deplete: r.deplete, Resist: resist, source: s, reseedDraws: 1}
}

type readFunc = func([]byte) (int, error)

// must reads n bytes.
func (x randomness) must(t testing.TB, n int) []byte {
	t.Helper()
	b := make([]byte, n)
	if got, err := x.Read(b); got != n || err != nil {
		t.Fatalf("Read of %d bytes = %d, %v", n, got, err)
	}
	return b
}

// blocks appends the 16-byte blocks of b, by the half of each that tells them apart.
func blocks(to []uint64, b []byte) []uint64 {
	for ; len(b) >= 16; b = b[16:] {
		to = append(to, binary.LittleEndian.Uint64(b))
	}
	return to
}

// emulatorEnv names the user-mode emulator that the tests run in, which a process
// in it cannot see: .ci/emulated.sh sets it.
const emulatorEnv = "CLONERAND_TEST_EMULATOR"

// testBinary is this test binary, to be run again in a process of its own. In an
// emulator the kernel would be given a program of another CPU; it is
// given the emulator instead.
func testBinary(ctx context.Context, args ...string) *exec.Cmd {
	if emulator := os.Getenv(emulatorEnv); emulator != "" {
		return exec.CommandContext(ctx, emulator, append([]string{os.Args[0]}, args...)...)
	}
	return exec.CommandContext(ctx, os.Args[0], args...)
}

// itself is this test, to be run in a process of its own with env in its environment.
func itself(t testing.TB, env ...string) *exec.Cmd {
	cmd := testBinary(t.Context(), "-test.run=^"+t.Name()+"$")
	// The race detector would wait for a second before each end.
	cmd.Env = append(append(os.Environ(), "GORACE=atexit_sleep_ms=0"), env...)
	return cmd
}

const againEnv = "CLONERAND_TEST_AGAIN=1"

// isAgain reports whether againEnv is in the environment of this process.
func isAgain() bool { return os.Getenv("CLONERAND_TEST_AGAIN") != "" }

// again runs this test in a process of its own, in which isAgain is true.
func again(t *testing.T, env ...string) (out string, err error) {
	t.Helper()
	cmd := itself(t, append(env, againEnv)...)
	cmd.Args = append(cmd.Args, "-test.timeout=60s")
	b, err := cmd.CombinedOutput()
	return string(b), err
}

// skipEmulated skips a test of what the emulator does not do as the kernel does.
func skipEmulated(t testing.TB, why string) {
	t.Helper()
	if os.Getenv(emulatorEnv) != "" {
		t.Skip("user-mode emulation:", why)
	}
}

// decided waits until it is known whether the counter is usable, and returns why not.
func (p *pauseDetector) decided() (l *pauseLimits, why string) {
	p.await()
	if l := p.usable(); l != nil {
		return l, ""
	}
	if l := p.limits.Load(); l != nil {
		return nil, l.why
	}
	return nil, "it is not measured within three seconds"
}

// vmGuest runs the guest of vmtest, where vmtest has booted this machine with the test binary as
// its only program. The guest is this very code, and with its detectors off a control.
func vmGuest() {
	vmguest.Run(func() vmguest.Guest {
		_, why := thisHost.pause.decided()
		g := vmguest.Guest{
			Generators: []probe.Generator{
				vmGenerator("clonerand", func() io.Reader { return Reader }),
				vmGenerator("unguarded", func() io.Reader { return newReaderOn(vmWithoutPauses(noDetectors())) }),
				probe.CryptoRand(),
				probe.NewControl(),
			},
			Counter:    why,
			Generation: Generation,
		}
		if vmguest.Asked("SIGNALS") {
			g.Generators = append(g.Generators, vmGenerator("signals alone", func() io.Reader {
				return newReaderOn(vmWithoutPauses(newHost().clones))
			}))
		}
		return g
	})
}

func vmGenerator(name string, reader func() io.Reader) probe.Generator {
	return probe.Generator{Name: name, New: func() (func([]byte) error, error) {
		r := reader()
		return func(b []byte) error { _, err := r.Read(b); return err }, nil
	}}
}

// vmWithoutPauses is this machine on a counter that stands still, and may. One that moves would
// show that it was set back, as after a hibernation.
func vmWithoutPauses(clones *cloneWatch) *host {
	h := newHost()
	h.clones, h.pause = clones, neverPaused()
	still := func() uint64 { return 1 }
	h.pause.read, h.pause.readFenced = still, still
	return h
}

// notLocked checks that no state of p is locked.
func notLocked(t *testing.T, p *pool) {
	t.Helper()
	states := p.shards.Load().states
	for i := range states {
		if s := states[i].Load(); s != nil && s.lock.held != 0 {
			t.Errorf("shard %d of %d is locked", i, len(states))
		}
	}
}

// wantErr checks that err has want in it, or is nil where want is "".
func wantErr(t testing.TB, what string, err error, want string) {
	t.Helper()
	if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
		t.Errorf("%s: %v, want %q in it", what, err, want)
	}
}

// rerun runs the test again, alone, in a process with env in its environment,
// and takes over its result.
func rerun(t *testing.T, env string, options ...func(*exec.Cmd)) {
	t.Helper()
	cmd := itself(t, env)
	cmd.Args = append(cmd.Args, "-test.v")
	for _, o := range options {
		o(cmd)
	}
	out, err := cmd.CombinedOutput()
	switch {
	case err != nil && !bytes.Contains(out, []byte("=== RUN")):
		t.Skipf("this machine does not start such a process: %v", err)
	case err != nil:
		t.Errorf("%v\n%s", err, out)
	case bytes.Contains(out, []byte("--- SKIP")):
		t.Skipf("%s", out)
	case !bytes.Contains(out, []byte("--- PASS")):
		t.Errorf("the test did not run:\n%s", out)
	}
}
