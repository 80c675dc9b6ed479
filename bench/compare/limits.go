package main

import (
	"fmt"
	"strings"
)

// A figure is what was measured on the two kinds of machine that are known. The root
// package's BenchmarkGuard has the same.
type figure struct{ epyc, xeon float64 }

var (
	versusCrypto16  = figure{0.22, 0.46} // time by that of crypto/rand, 16 B
	versusFrand     = figure{0.80, 1.20} // by that of frand, 16 B
	versusCrypto4K  = figure{0.09, 0.13} // by that of crypto/rand, 4 KiB
	versusRawCTR    = figure{0.93, 0.92} // throughput by that of AES-256-CTR alone, 1 MiB
	twoVersusOne    = figure{2.0, 2.0}   // throughput of two goroutines by that of one; measured on Xeon
	twoVersusCrypto = figure{0.40, 0.40} // time of two goroutines by that of crypto/rand; measured on Xeon
)

const margin = 0.3 // a limit is the figure, and so much

// most is the limit of what must be at most f on the CPU of that name. One that is not
// known gets the looser limit.
func (f figure) most(cpu string) float64 { return f.of(cpu, max(f.epyc, f.xeon)) * (1 + margin) }

// least is the limit of what must be at least f.
func (f figure) least(cpu string) float64 { return f.of(cpu, min(f.epyc, f.xeon)) * (1 - margin) }

// mosts and leasts are the limits of both kinds, for a table.
func (f figure) mosts() string {
	return fmt.Sprintf("<= %.2f, %.2f", f.epyc*(1+margin), f.xeon*(1+margin))
}

func (f figure) leasts() string {
	return fmt.Sprintf(">= %.2f, %.2f", f.epyc*(1-margin), f.xeon*(1-margin))
}

func (f figure) of(cpu string, other float64) float64 {
	switch {
	case strings.Contains(cpu, "EPYC"):
		return f.epyc
	case strings.Contains(cpu, "Xeon"):
		return f.xeon
	}
	return other
}
