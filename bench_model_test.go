package rand

import (
	"bytes"
	"flag"
	"fmt"
	"math"
	"os"
	"runtime"
	"testing"
	"text/tabwriter"
	"time"
)

var writeSpeed = flag.Bool("write-speed", false, "let BenchmarkModel write its tables into docs/speed.md")

// BenchmarkModel measures the terms of the cost model of docs/speed.md, and beside
// their sums what Reads take. To renew the tables of that page:
//
//	go test -run '^$' -bench '^BenchmarkModel$' -benchtime 1x . -write-speed
func BenchmarkModel(b *testing.B) {
	onlyByName(b, "Model")
	var page string
	for b.Loop() {
		page = modelTables()
	}
	b.ReportMetric(0, "ns/op")
	fmt.Print("\n", page) // b.Log shortens it
	if *writeSpeed {
		if err := replaceMeasured("docs/speed.md", page); err != nil {
			b.Fatal(err)
		}
	}
}

const modelRounds = 300

func modelTables() string {
	parts := partsOfRead()
	var loops []func(n int)
	for _, p := range parts {
		loops = append(loops, p.loop)
	}
	t := map[string]float64{}
	for i, ns := range perOp(modelRounds, roundTime, loops...) {
		t[parts[i].name] = ns
	}
	const perBuffer = bufferLen / blockLen
	quick := []term{
		{"lock and unlock", 1}, {"copy and erase 16 B", 1}, {"counter reading", 1},
		{"clone check", 1}, {"Generate of 4 KiB", perBuffer},
	}
	paused := append(quick[:len(quick):len(quick)],
		term{"two draws", 1}, term{"counter reading", 1}, term{"fold one block", 1},
		term{"fold key", perBuffer}, term{"seeding", perBuffer})

	var out bytes.Buffer
	fmt.Fprintf(&out, "%s, %s/%s.\n", runtime.Version(), runtime.GOOS, runtime.GOARCH)
	fmt.Fprintf(&out, "\nA Read of 16 bytes, nanoseconds:\n\n")
	sumTable(&out, t, quick, "measured as a whole", t["Read of 16 B"])
	whole := notHere
	if lim := counterLimits(); lim != nil {
		// Back to back the draws would wait for the CPU to make more of them.
		whole, t["two draws"] = pausedRead(lim)
	}
	fmt.Fprintf(&out, "\nThe same after a pause:\n\n")
	sumTable(&out, t, paused, "measured as a whole, after 4 us, slowest 0.5 % left out", whole)
	fmt.Fprintf(&out, "\nTo find the home shard taken and go on to the next: %.1f ns more.\n",
		t["the next shard, home taken"]-t["lock and unlock"])
	fmt.Fprintf(&out, "\nReads of 16 bytes by as many goroutines on as many threads, on %d CPUs: time by number of Reads, nanoseconds:\n\n", runtime.NumCPU())
	scaleTable(&out)
	return out.String()
}

// scaleTable has rounds in which each goroutine does thousands of Reads: the first
// 256 after a pause fold.
func scaleTable(out *bytes.Buffer) {
	w := tabwriter.NewWriter(out, 0, 0, 1, ' ', 0)
	fmt.Fprint(w, "| goroutines\t| clonerand\t| crypto/rand\t|\n|---\t|---\t|---\t|\n")
	for procs := 1; procs <= 64; procs *= 2 {
		old := runtime.GOMAXPROCS(procs)
		t := perOp(40, 2*time.Millisecond+time.Duration(procs)*200*time.Microsecond,
			func(n int) { together(procs, n, 16, ourReads.loop) },
			func(n int) { together(procs, n, 16, cryptoReads.loop) })
		runtime.GOMAXPROCS(old)
		fmt.Fprintf(w, "| %d\t| %.1f\t| %.1f\t|\n", procs, t[0], t[1])
	}
	w.Flush()
}

// A term is a part that a Read needs once, or that so many Reads share.
type term struct {
	part   string
	shared int
}

func sumTable(out *bytes.Buffer, t map[string]float64, terms []term, whole string, measured float64) {
	sum := 0.0
	w := tabwriter.NewWriter(out, 0, 0, 1, ' ', 0)
	fmt.Fprint(w, "| part\t| alone\t| Reads that share it\t| adds\t|\n|---\t|---\t|---\t|---\t|\n")
	for _, x := range terms {
		adds := t[x.part] / float64(x.shared)
		sum += adds
		fmt.Fprintf(w, "| %s\t| %.1f\t| %d\t| %.1f\t|\n", x.part, t[x.part], x.shared, adds)
	}
	fmt.Fprintf(w, "| sum\t| \t| \t| %.1f\t|\n| %s\t| \t| \t| %.1f\t|\n", sum, whole, measured)
	w.Flush()
}

// pausedRead is a Read after 4 us without any, and two draws, in the quietest of
// several blocks.
func pausedRead(lim *pauseLimits) (read, draws float64) {
	i := pauseImpls()
	read, draws = math.Inf(1), math.Inf(1)
	for range 8 {
		l := afterPause(lim, 4*time.Microsecond, 1000, i[0].call, i[2].call)
		read, draws = min(read, l[0].mean()), min(draws, l[1].mean())
	}
	return read, draws
}

// replaceMeasured puts text between the two marks of a page.
func replaceMeasured(file, text string) error {
	page, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	begin, end := []byte("<!-- measured -->\n"), []byte("<!-- end of measured -->")
	head, rest, ok := bytes.Cut(page, begin)
	_, tail, ok2 := bytes.Cut(rest, end)
	if !ok || !ok2 {
		return fmt.Errorf("%s has no part marked %q to %q", file, begin, end)
	}
	return os.WriteFile(file, bytes.Join([][]byte{head, begin, []byte(text), end, tail}, nil), 0o644)
}
