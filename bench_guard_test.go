package rand

import (
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/fips140"
	cryptorand "crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math"
	"math/big"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// BenchmarkGuard fails when this package has become slow. It compares with crypto/rand,
// with the cipher and with itself, and lets a row miss its limit three times. All of a
// row is measured in turns in this one process, so what else the machine does counts
// for little. Run it with
//
//	go test -run '^$' -bench '^BenchmarkGuard$' -benchtime 1x .
//
// Rows without a limit are only shown.
func BenchmarkGuard(b *testing.B) {
	onlyByName(b, "Guard")
	missed := 0
	for b.Loop() {
		kind := kindOf(cpuName())
		fmt.Printf("\n%s: limits of %s\n", cpuName(), kind)
		for _, row := range guardRows() {
			line, ok := row.judge(kind)
			fmt.Println(line) // b.Log shortens it
			if !ok {
				missed++
			}
		}
	}
	b.ReportMetric(0, "ns/op")
	if missed > 0 {
		b.Fatalf("%d rows missed", missed)
	}
}

const (
	guardTries          = 3
	guardMargin         = 0.3 // a limit is the figure that was measured, and so much
	guardRounds         = 60
	guardParallelRounds = 200 // the other CPU must be free, too
)

// A machineKind is a kind of machine that the figures of the guard were measured on.
type machineKind int

const (
	amdEPYC machineKind = iota
	intelXeon
	otherKind // gets the looser limit of the two
)

func (k machineKind) String() string {
	return [...]string{"AMD EPYC", "Intel Xeon", "another machine, the looser of AMD EPYC's and Intel Xeon's"}[k]
}

func kindOf(cpu string) machineKind {
	switch {
	case strings.Contains(cpu, "EPYC"):
		return amdEPYC
	case strings.Contains(cpu, "Xeon"):
		return intelXeon
	}
	return otherKind
}

// cpuName is what Linux calls the CPU.
func cpuName() string {
	info, _ := os.ReadFile("/proc/cpuinfo") // without it the name is not known
	for line := range strings.Lines(string(info)) {
		if key, name, _ := strings.Cut(line, ":"); strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(name)
		}
	}
	return "CPU unknown"
}

// A guardRow is one figure and its limit.
type guardRow struct {
	name    string
	figures [2]float64 // what was measured on each kind; 0: not judged there
	exact   float64    // instead of figures: a limit to which nothing is added
	atLeast bool       // more is better
	measure func() (value float64, note string)
}

// onBoth is the figure of a row that has none of its own for each kind.
func onBoth(figure float64) [2]float64 { return [2]float64{figure, figure} }

// notHere is what a measure returns that cannot be taken on this machine; the note
// says why.
var notHere = math.NaN()

// limit is 0 where the row is only shown.
func (r *guardRow) limit(k machineKind) float64 {
	if r.exact != 0 {
		return r.exact
	}
	var figure float64
	switch x, y := r.figures[amdEPYC], r.figures[intelXeon]; {
	case k != otherKind:
		figure = r.figures[k]
	case x == 0 || y == 0:
		return 0
	case r.atLeast:
		figure = min(x, y)
	default:
		figure = max(x, y)
	}
	if r.atLeast {
		return figure * (1 - guardMargin)
	}
	return figure * (1 + guardMargin)
}

// judge measures until the limit holds, and at most guardTries times.
func (r *guardRow) judge(k machineKind) (line string, ok bool) {
	limit, best, note := r.limit(k), notHere, ""
	for range guardTries {
		value, n := r.measure()
		if math.IsNaN(value) {
			return fmt.Sprintf("%-45s not measured: %s", r.name, n), true
		}
		if math.IsNaN(best) || r.better(value, best) {
			best, note = value, n
		}
		if ok = limit == 0 || r.better(best, limit); ok {
			break
		}
	}
	must, verdict := "", "shown"
	if limit != 0 {
		must, verdict = fmt.Sprintf("must <= %.3g", limit), "ok"
		if r.atLeast {
			must = fmt.Sprintf("must >= %.3g", limit)
		}
	}
	if !ok {
		verdict = "MISSED"
	}
	return fmt.Sprintf("%-45s %8.4g  %-13s  %-6s  %s", r.name, best, must, verdict, note), ok
}

func (r *guardRow) better(x, y float64) bool {
	if r.atLeast {
		return x >= y
	}
	return x <= y
}

// guardRows has figures for both kinds where both were measured. The others are those of
// the Intel Xeon: crypto/rand is faster there in comparison, so they are the looser ones.
func guardRows() []guardRow {
	rows := []guardRow{
		{name: "16 B vs crypto/rand", figures: [2]float64{0.22, 0.46}, measure: readRatio(16, ourReads, cryptoReads)},
		{name: "16 B of a Generator vs crypto/rand", figures: onBoth(0.46), measure: readRatio(16, generatorReads(), cryptoReads)},
		{name: "256 B vs crypto/rand", figures: onBoth(0.17), measure: readRatio(256, ourReads, cryptoReads)},
		{name: "4 KiB vs crypto/rand", figures: [2]float64{0.09, 0.13}, measure: readRatio(4<<10, ourReads, cryptoReads)},
		{name: "1 MiB, throughput vs raw AES-256-CTR", figures: [2]float64{0.93, 0.92}, atLeast: true, measure: readRatio(1<<20, ctrReads, ourReads)},
		{name: "16 B, 2 goroutines, throughput vs 1", figures: onBoth(2.0), atLeast: true, measure: parallelRatio(1, ourReads, ourReads)},
		{name: "16 B, 2 goroutines, vs crypto/rand", figures: onBoth(0.40), measure: parallelRatio(2, ourReads, cryptoReads)},
		{name: "16 B, prediction resistance, vs crypto/rand", figures: onBoth(19), measure: readRatio(16, resistantReads(), cryptoReads)},
		{name: "Text vs crypto/rand", figures: onBoth(0.53), measure: ratio(
			repeated(func() { Text() }), repeated(func() { cryptorand.Text() }))},
		{name: "Int of P-256's order vs crypto/rand", figures: onBoth(0.53), measure: ratio(
			repeated(func() { Int(Reader, p256Order) }), repeated(func() { cryptorand.Int(cryptorand.Reader, p256Order) }))},
		{name: "Prime of 256 bits vs crypto/rand", figures: onBoth(0.87), measure: primeRatio},
		{name: "clone check, ns", measure: func() (float64, string) { return costOfCloneCheck(), "" }},
		{name: "pause check, as what it adds, ns", measure: func() (float64, string) { return costOfPauseCheck(), "" }},
		{name: "first Read of a fresh reader, us", measure: func() (float64, string) {
			return perOp(guardRounds, roundTime, freshReads)[0] / 1000, ""
		}},
		{name: "memory of 16 shards, KiB", exact: 128, measure: heapKiB},
		{name: "16 B after 4µs, mean vs crypto/rand", figures: [2]float64{1.7, 2.6}, measure: pauseRatio(pauses[0], latencies.mean)},
		{name: "16 B after 4µs less the draws, vs crypto/rand", figures: onBoth(2), measure: beyondDraws},
	}
	for _, pause := range pauses[1:] {
		rows = append(rows, guardRow{name: fmt.Sprintf("16 B after %v, mean vs crypto/rand", pause), measure: pauseRatio(pause, latencies.mean)})
	}
	// The requests and keys that Reads share; after a pause also the mix key of each
	// buffer, and a seeding at its end with two keys more.
	rows = append(rows, garbageRows("16 B", 16, 0, 0.25)...)
	rows = append(rows, garbageRows("256 B", 256, 0, 0.25)...)
	return append(rows, garbageRows("16 B after a pause", 16, 4*pauseTime, 0.625)...)
}

// ratio divides the time of one operation of x by that of one of y.
func ratio(x, y func(n int)) func() (float64, string) {
	return func() (float64, string) { return quotient(perOp(guardRounds, roundTime, x, y)) }
}

func quotient(t []float64) (float64, string) {
	return t[0] / t[1], fmt.Sprintf("(%.4g ns, %.4g ns)", t[0], t[1])
}

func readRatio(size int, x, y impl) func() (float64, string) {
	b := make([]byte, size)
	return ratio(func(n int) { x.loop(b, n) }, func(n int) { y.loop(b, n) })
}

// parallelRatio compares x in so many goroutines with y in two.
func parallelRatio(goroutines int, x, y impl) func() (float64, string) {
	return func() (float64, string) {
		if runtime.GOMAXPROCS(0) < 2 {
			return notHere, "one CPU"
		}
		return quotient(perOp(guardParallelRounds, parallelRoundTime,
			func(n int) { together(goroutines, n, 16, x.loop) }, func(n int) { together(2, n, 16, y.loop) }))
	}
}

func repeated(f func()) func(n int) {
	return func(n int) {
		for range n {
			f()
		}
	}
}

// primeRatio counts all rounds, since the number of candidates is chance.
func primeRatio() (float64, string) {
	t := totalPerOp(guardRounds, 8,
		repeated(func() { Prime(Reader, 256) }), repeated(func() { cryptorand.Prime(cryptorand.Reader, 256) }))
	return t[0] / t[1], fmt.Sprintf("(%.4g us, %.4g us)", t[0]/1e3, t[1]/1e3)
}

func heapKiB() (float64, string) {
	bytes, err := heapOfShards(16)
	if err != nil {
		return notHere, err.Error()
	}
	return bytes / 1024, ""
}

func pauseRatio(pause time.Duration, figure func(latencies) float64) func() (float64, string) {
	return func() (float64, string) {
		lim := counterLimits()
		if lim == nil {
			return notHere, noCounter
		}
		ours, theirs, draws := quietest(lim, pause, figure)
		return ours / theirs, fmt.Sprintf("(%.0f ns, %.0f ns, two draws alone %.0f ns)", ours, theirs, draws)
	}
}

// quietest takes for each of the three the quietest of several blocks, in which they
// take turns.
func quietest(lim *pauseLimits, pause time.Duration, figure func(latencies) float64) (ours, theirs, draws float64) {
	blocks, perBlock := 8, 1000
	if pause >= time.Millisecond {
		blocks, perBlock = 2, 200
	}
	ours, theirs, draws = math.Inf(1), math.Inf(1), math.Inf(1)
	for range blocks {
		l := afterPause(lim, pause, perBlock, pauseCalls()...)
		ours, theirs, draws = min(ours, figure(l[0])), min(theirs, figure(l[1])), min(draws, l[2].mean())
	}
	return ours, theirs, draws
}

// beyondDraws is what a Read takes after a pause beside the two draws, which depend on
// the CPU most.
func beyondDraws() (float64, string) {
	lim := counterLimits()
	if lim == nil {
		return notHere, noCounter
	}
	b := make([]byte, 16)
	plain := perOp(guardRounds, roundTime, func(n int) { cryptoReads.loop(b, n) })[0]
	l := afterPause(lim, pauses[0], 8000, pauseCalls()...)
	ours, draws := l[0].percentile(50), l[2].percentile(50)
	return (ours - draws) / plain, fmt.Sprintf("((%.0f - %.0f) / %.1f ns)", ours, draws, plain)
}

// garbageRows bound what a Read of that size leaves on the heap: less than one
// allocation, and about so many bytes for each byte.
func garbageRows(name string, size int, pause time.Duration, perByte float64) []guardRow {
	measure := func() (allocs, bytes float64) {
		b := make([]byte, size)
		lim := counterLimits()
		allocs, bytes = math.Inf(1), math.Inf(1)
		for range 8 { // the quietest: where others have the CPU there are pauses
			a, n := garbage(2560, func() {
				if pause > 0 && lim != nil {
					waitUnused(pause, lim)
				}
				Read(b)
			})
			allocs, bytes = min(allocs, a), min(bytes, n)
		}
		return allocs, bytes
	}
	return []guardRow{
		{name: "allocations, " + name, exact: 0.99, measure: func() (float64, string) {
			allocs, _ := measure()
			return allocs, ""
		}},
		{name: "garbage, B per byte, " + name, figures: onBoth(perByte), measure: func() (float64, string) {
			_, bytes := measure()
			return bytes / float64(size), ""
		}},
	}
}

func TestGuardLimits(t *testing.T) {
	for name, want := range map[string]machineKind{
		"AMD EPYC 7763 64-Core Processor": amdEPYC,
		"Intel(R) Xeon(R) Processor":      intelXeon,
		"AMD Ryzen 9 7950X":               otherKind,
		"CPU unknown":                     otherKind,
	} {
		if got := kindOf(name); got != want {
			t.Errorf("%q is %v, want %v", name, got, want)
		}
	}
	most := guardRow{figures: [2]float64{1, 2}}
	least := guardRow{figures: [2]float64{1, 2}, atLeast: true}
	shown := guardRow{figures: [2]float64{1, 0}}
	exact := guardRow{exact: 3}
	for _, c := range []struct {
		row  guardRow
		kind machineKind
		want float64
	}{
		{most, amdEPYC, 1.3}, {most, intelXeon, 2.6}, {most, otherKind, 2.6},
		{least, amdEPYC, 0.7}, {least, intelXeon, 1.4}, {least, otherKind, 0.7},
		{shown, amdEPYC, 1.3}, {shown, intelXeon, 0}, {shown, otherKind, 0}, {exact, otherKind, 3},
	} {
		if got := c.row.limit(c.kind); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("limit %v of %v on %v, want %v", got, c.row, c.kind, c.want)
		}
	}
	slow := guardRow{exact: 1, measure: func() (float64, string) { return 1.01, "" }}
	if line, ok := slow.judge(amdEPYC); ok || !strings.Contains(line, "MISSED") {
		t.Errorf("a row over its limit passed: %s", line)
	}
}

// TestGarbage counts the objects: seedings, and Reads after pauses, allocate nothing but
// the keys and the streams of crypto/aes and crypto/cipher.
func TestGarbage(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates, too")
	}
	if fips140.Enabled() {
		t.Skip("in FIPS mode single blocks go by a mode that is allocated for them, the shared cipher of the derivation function, too")
	}
	var block cipher.Block
	var stream cipher.Stream
	key := testing.AllocsPerRun(100, func() { block = newAES(zeros[:keyLen]) })
	request := testing.AllocsPerRun(100, func() { stream = cipher.NewCTR(expandAES(zeros[:keyLen]), zeros[:blockLen]) })
	runtime.KeepAlive(stream)
	runtime.KeepAlive(block)
	seeding := 2 * key // of the derivation function, and of the update

	// A counter that shows a pause before every look.
	h := newHost()
	h.pause = (&fakeCounter{step: 100}).detector() // a burst needs few turns of it
	lim := &pauseLimits{rate: 1e9, g: 1}
	lim.allowance.Store(1 << 60)
	h.pause.limits.Store(lim)
	r := newPool(h, 1)
	b := make([]byte, blockLen)
	const reads = bufferLen / blockLen
	got := testing.AllocsPerRun(20, func() {
		for range reads {
			r.Read(b)
		}
	})
	if want := seeding + request + key; got != want {
		t.Errorf("%d Reads after pauses, and the seeding that they share, allocate %v objects, want %v", reads, got, want)
	}
	e, sh := r.parts()
	s := sh.states[0].Load()
	if got := testing.AllocsPerRun(100, func() { orPanic(s.seed(e, false)) }); got != seeding {
		t.Errorf("a seeding allocates %v objects, want %v", got, seeding)
	}
	if got := testing.AllocsPerRun(100, func() { s.generation = nil; r.Read(b) }); got != seeding+request+key {
		t.Errorf("a Read with a reseed allocates %v objects, want %v", got, seeding+request+key)
	}
}

// BenchmarkWholeGuard compares what the standard library takes with its hook, and with the hook
// taken out, as it is in a plain program; the plain one lacks a load and a
// comparison. It needs a patched program:
//
//	clonerand go test -run '^$' -bench '^BenchmarkWholeGuard$' -benchtime 1x .
func BenchmarkWholeGuard(b *testing.B) {
	onlyByName(b, "WholeGuard")
	if stdHook.Load() == nil {
		b.Skip("the standard library is not patched: clonerand go test")
	}
	if n := testing.AllocsPerRun(1000, func() {
		var b [16]byte
		cryptorand.Read(b[:])
	}); n > 0 {
		b.Errorf("%v allocations for a buffer on the stack", n)
	}
	missed, kind := 0, kindOf(cpuName())
	for b.Loop() {
		fmt.Println()
		for _, row := range wholeRows() {
			line, ok := row.judge(kind)
			fmt.Println(line)
			if !ok {
				missed++
			}
		}
	}
	b.ReportMetric(0, "ns/op")
	if missed > 0 {
		b.Fatalf("%d rows missed", missed)
	}
}

func wholeRows() []guardRow {
	var short [16]byte
	kept := make([]byte, 16)
	return []guardRow{
		{name: "crypto/rand.Read of 16 B, hook vs none", figures: onBoth(0.51), measure: hookRatio(func() { cryptorand.Read(short[:]) })},
		// What google/uuid's NewRandom does to make one.
		{name: "io.ReadFull of crypto/rand.Reader, 16 B", exact: 1.0, measure: hookRatio(func() { io.ReadFull(cryptorand.Reader, kept) })},
		{name: "ecdsa.GenerateKey, P-256", exact: 1.1, measure: hookRatio(func() {
			ecdsa.GenerateKey(elliptic.P256(), cryptorand.Reader)
		})},
		{name: "TLS 1.3 handshake", exact: 1.1, measure: hookRatio(handshakes())},
	}
}

func hookRatio(f func()) func() (float64, string) {
	hook := stdHook.Load()
	with := func(h *func([]byte)) func(n int) {
		return func(n int) {
			stdHook.Store(h)
			defer stdHook.Store(hook)
			repeated(f)(n)
		}
	}
	return func() (float64, string) {
		t := perOp(guardRounds, roundTime, with(hook), with(nil))
		return t[0] / t[1], fmt.Sprintf("(%.4g ns, %.4g ns)", t[0], t[1])
	}
}

// handshakes are of a client and a server in one process.
func handshakes() func() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), cryptorand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotAfter: time.Unix(1<<33, 0)}
	raw, err := x509.CreateCertificate(cryptorand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	server := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{raw}, PrivateKey: key}}, SessionTicketsDisabled: true}
	client := &tls.Config{ServerName: "localhost", InsecureSkipVerify: true}
	return func() {
		near, far := net.Pipe()
		done := make(chan error)
		go func() { done <- tls.Server(far, server).Handshake() }()
		err := tls.Client(near, client).Handshake()
		if e := <-done; err != nil || e != nil {
			panic(fmt.Sprint(err, e))
		}
		near.Close()
		far.Close()
	}
}
