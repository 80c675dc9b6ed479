package main

import (
	"bytes"
	"fmt"
	"runtime/debug"
	"strings"
	"text/tabwriter"
)

// awslc is quoted: AWS-LC is no Debian package.
const awslc = "AWS-LC's RAND_bytes was not part of this run. Built from source in August 2026, on another machine (AMD EPYC), " +
	"it took 341 ns for 16 B and 873 ns for 4 KiB, and made 7.3 GB/s; it sees forks (wiped page) and SysGenID, and aborts " +
	"when it was cloned in mid-call.\n"

// markdown shows the machines side by side, and then each alone.
func markdown(all []*machine) string {
	var out bytes.Buffer
	fmt.Fprintf(&out, "# clonerand beside other generators\n\n")
	fmt.Fprintf(&out, "Written by `cd bench/compare && go run .` from the folder machines: a run replaces the figures of its own kind of CPU.\n")
	fmt.Fprintf(&out, "Peers take turns in short rounds, and the fastest of %d rounds counts. Those in C are called in a loop in C, so\n", rounds)
	fmt.Fprintf(&out, "that the way from Go to C (40 ns and more a call) is not in their figures.\n\n")
	for _, m := range all {
		fmt.Fprintf(&out, "- **%s**: %s, %s", m.title(), m.Date, m.System)
		if m.Frand != "" {
			fmt.Fprintf(&out, ", frand %s", m.Frand)
		}
		if m.Carried != "" {
			fmt.Fprintf(&out, "; %s", m.Carried)
		}
		fmt.Fprintln(&out, ".")
	}
	fmt.Fprintf(&out, "\n## Side by side: one Read, one goroutine, nanoseconds\n\n")
	sideBySide(&out, all)
	fmt.Fprintf(&out, "\n![nanoseconds for 16 bytes](read16.svg)\n\n![throughput by size](throughput.svg)\n")
	fmt.Fprintf(&out, "\n## Ratios\n\n")
	ratios(&out, all)
	for _, m := range all {
		if m.Carried == "" {
			m.tables(&out)
		}
	}
	fmt.Fprintf(&out, "\n## What each does when its state is cloned\n\n")
	w := newTable(&out, "who", "notices")
	for _, r := range all[0].Alone {
		fmt.Fprintf(w, "| %s\t| %s\t|\n", r.Who, r.Notices)
	}
	w.Flush()
	fmt.Fprintf(&out, "\n%s", awslc)
	return out.String()
}

// title is the CPU without its trade marks.
func (m *machine) title() string {
	return strings.TrimSpace(strings.NewReplacer("(R)", "", "(TM)", "", "(tm)", "", " Processor", "").Replace(m.CPU))
}

func sideBySide(out *bytes.Buffer, all []*machine) {
	head := []string{"who"}
	shown := []string{"16 B", "4 KiB", "1 MiB"}
	for _, size := range shown {
		for _, m := range all {
			head = append(head, size+", "+m.title())
		}
	}
	w := newTable(out, head...)
	for _, r := range all[0].Alone {
		fmt.Fprintf(w, "| %s\t", version.ReplaceAllString(r.Who, ""))
		for _, size := range shown {
			for _, m := range all {
				fmt.Fprintf(w, "| %s\t", threeDigits(findNS(m.Alone, r.Who, size)))
			}
		}
		fmt.Fprintln(w, "|")
	}
	w.Flush()
}

func (m *machine) tables(out *bytes.Buffer) {
	fmt.Fprintf(out, "\n## %s: one Read, one goroutine, nanoseconds\n\n", m.title())
	table(out, m.Alone)
	fmt.Fprintf(out, "\n## %s, two goroutines: time by number of Reads, nanoseconds\n\n", m.title())
	table(out, m.Pair)
	fmt.Fprintf(out, "\n## %s: 16 bytes under prediction resistance (a reseed for each Read), nanoseconds\n\n", m.title())
	w := newTable(out, "who", "16 B")
	for _, r := range m.Resistant {
		fmt.Fprintf(w, "| %s\t| %s\t|\n", r.Who, threeDigits(r.NS["16 B"]))
	}
	w.Flush()
}

func newTable(out *bytes.Buffer, head ...string) *tabwriter.Writer {
	w := tabwriter.NewWriter(out, 0, 0, 1, ' ', 0)
	fmt.Fprintf(w, "| %s\t|\n|%s\n", strings.Join(head, "\t| "), strings.Repeat("---\t|", len(head)))
	return w
}

func table(out *bytes.Buffer, rows []measured) {
	head := []string{"who"}
	for _, size := range sizes {
		head = append(head, sizeName(size))
	}
	w := newTable(out, append(head, "1 MiB, GB/s")...)
	for _, r := range rows {
		fmt.Fprintf(w, "| %s\t", r.Who)
		for _, size := range sizes {
			fmt.Fprintf(w, "| %s\t", threeDigits(r.NS[sizeName(size)]))
		}
		fmt.Fprintf(w, "| %.2f\t|\n", (1<<20)/r.NS["1 MiB"])
	}
	w.Flush()
}

// ratios has a column for each machine, and the limits.
func ratios(out *bytes.Buffer, all []*machine) {
	head := []string{"what"}
	for _, m := range all {
		head = append(head, m.title())
	}
	w := newTable(out, append(head, "must", "aim")...)
	row := func(what, limits string, ratio func(m *machine) float64) {
		fmt.Fprintf(w, "| %s\t", what)
		for _, m := range all {
			is := m.Ratios[what]
			if m.Carried == "" {
				is = fmt.Sprintf("%.2f", ratio(m))
			}
			fmt.Fprintf(w, "| %s\t", is)
		}
		fmt.Fprintf(w, "| %s\t|\n", limits)
	}
	against := func(who, size string) func(m *machine) float64 {
		return func(m *machine) float64 { return findNS(m.Alone, nameOurs, size) / findNS(m.Alone, who, size) }
	}
	row("16 B, time vs crypto/rand", "<= 0.45\t| 0.28", against(nameCrypto, "16 B"))
	row("16 B, time vs frand", fmt.Sprintf("<= %.1f\t| %g", mustVersusFrand, aimVersusFrand), against(nameFrand, "16 B"))
	row("16 B, 2 goroutines, throughput vs 1", ">= 1.7\t| 1.9", func(m *machine) float64 {
		return findNS(m.Alone, nameOurs, "16 B") / findNS(m.Pair, nameOurs, "16 B")
	})
	row("16 B, 2 goroutines, time vs crypto/rand", "<= 0.50\t| 0.30", func(m *machine) float64 {
		return findNS(m.Pair, nameOurs, "16 B") / findNS(m.Pair, nameCrypto, "16 B")
	})
	row("4 KiB, time vs crypto/rand", "<= 0.17\t| 0.13", against(nameCrypto, "4 KiB"))
	row("1 MiB, throughput vs AES-256-CTR alone", ">= 0.93\t| 0.96", func(m *machine) float64 {
		return 1 / against(nameRaw, "1 MiB")(m)
	})
	w.Flush()
}

// threeDigits of a time; nothing where it is not known.
func threeDigits(ns float64) string {
	switch {
	case ns == 0:
		return ""
	case ns < 100:
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
