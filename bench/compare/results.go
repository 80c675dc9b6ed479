package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"text/tabwriter"
)

type results struct {
	alone, pair *grid
	resistant   []peer
	resistantNs []float64
}

// awslc is quoted: AWS-LC is no Debian package.
const awslc = "AWS-LC's RAND_bytes was not part of this run. Built from source in August 2026, on another machine (AMD EPYC), " +
	"it took 341 ns for 16 B and 873 ns for 4 KiB, and made 7.3 GB/s; it sees forks (wiped page) and SysGenID, and aborts " +
	"when it was cloned in mid-call.\n"

func (r *results) markdown() string {
	var out bytes.Buffer
	fmt.Fprintf(&out, "# clonerand beside other generators\n\n")
	fmt.Fprintf(&out, "Written by `cd bench/compare && go run .`: %s, %s/%s, %d CPUs, %s. ",
		runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), cpuName())
	fmt.Fprintf(&out, "frand %s.\n", moduleVersion("lukechampine.com/frand"))
	fmt.Fprintf(&out, "Peers take turns in short rounds, and the fastest of %d rounds counts. Those in C are called in a loop in C, so\n", rounds)
	fmt.Fprintf(&out, "that the way from Go to C (40 ns and more a call) is not in their figures.\n")

	fmt.Fprintf(&out, "\n## One Read, one goroutine, nanoseconds\n\n")
	r.alone.table(&out)
	fmt.Fprintf(&out, "\n![throughput by size](throughput.svg)\n\n![nanoseconds for 16 bytes](read16.svg)\n")
	fmt.Fprintf(&out, "\n## Two goroutines: time by number of Reads, nanoseconds\n\n")
	r.pair.table(&out)
	fmt.Fprintf(&out, "\n## Ratios\n\n")
	r.ratios(&out)
	fmt.Fprintf(&out, "\n## 16 bytes under prediction resistance (a reseed for each Read), nanoseconds\n\n")
	w := newTable(&out, "who", "16 B")
	for i, p := range r.resistant {
		fmt.Fprintf(w, "| %s\t| %.0f\t|\n", p.name, r.resistantNs[i])
	}
	w.Flush()
	fmt.Fprintf(&out, "\n## What each does when its state is cloned\n\n")
	w = newTable(&out, "who", "notices")
	for _, p := range r.alone.peers {
		fmt.Fprintf(w, "| %s\t| %s\t|\n", p.name, p.clones)
	}
	w.Flush()
	fmt.Fprintf(&out, "\n%s", awslc)
	return out.String()
}

func newTable(out *bytes.Buffer, head ...string) *tabwriter.Writer {
	w := tabwriter.NewWriter(out, 0, 0, 1, ' ', 0)
	fmt.Fprintf(w, "| %s\t|\n|%s\n", strings.Join(head, "\t| "), strings.Repeat("---\t|", len(head)))
	return w
}

func (g *grid) table(out *bytes.Buffer) {
	head := []string{"who"}
	for _, size := range sizes {
		head = append(head, sizeName(size))
	}
	w := newTable(out, append(head, "1 MiB, GB/s")...)
	for i, p := range g.peers {
		fmt.Fprintf(w, "| %s\t", p.name)
		for _, ns := range g.ns[i] {
			fmt.Fprintf(w, "| %s\t", threeDigits(ns))
		}
		fmt.Fprintf(w, "| %.2f\t|\n", float64(sizes[len(sizes)-1])/g.ns[i][len(sizes)-1])
	}
	w.Flush()
}

func (r *results) ratios(out *bytes.Buffer) {
	ours, pair := r.alone.row(nameOurs), r.pair.row(nameOurs)
	last := len(sizes) - 1
	cpu := cpuName()
	w := newTable(out, "what", "is", "must")
	most := func(what string, is float64, f figure) {
		fmt.Fprintf(w, "| %s\t| %.2f\t| <= %.2f\t|\n", what, is, f.most(cpu))
	}
	least := func(what string, is float64, f figure) {
		fmt.Fprintf(w, "| %s\t| %.2f\t| >= %.2f\t|\n", what, is, f.least(cpu))
	}
	most("16 B, time vs crypto/rand", ours[0]/r.alone.row(nameCrypto)[0], versusCrypto16)
	most("16 B, time vs frand", ours[0]/r.alone.row(nameFrand)[0], versusFrand)
	least("16 B, 2 goroutines, throughput vs 1", ours[0]/pair[0], twoVersusOne)
	most("16 B, 2 goroutines, time vs crypto/rand", pair[0]/r.pair.row(nameCrypto)[0], twoVersusCrypto)
	most("4 KiB, time vs crypto/rand", ours[5]/r.alone.row(nameCrypto)[5], versusCrypto4K)
	least("1 MiB, throughput vs AES-256-CTR alone", r.alone.row(nameRaw)[last]/ours[last], versusRawCTR)
	w.Flush()
}

func threeDigits(ns float64) string {
	if ns < 100 {
		return fmt.Sprintf("%.1f", ns)
	}
	return fmt.Sprintf("%.0f", ns)
}

func sizeName(size int) string {
	switch {
	case size >= 1<<20:
		return fmt.Sprintf("%d MiB", size>>20)
	case size >= 1<<10:
		return fmt.Sprintf("%d KiB", size>>10)
	default:
		return fmt.Sprintf("%d B", size)
	}
}

// cpuName is what Linux calls the CPU.
func cpuName() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return "CPU unknown"
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if key, value, ok := strings.Cut(s.Text(), ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "CPU unknown"
}

func moduleVersion(path string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "(version unknown)"
	}
	for _, m := range info.Deps {
		if m.Path == path {
			return m.Version
		}
	}
	return "(version unknown)"
}
