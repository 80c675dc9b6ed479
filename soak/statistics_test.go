package soak

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/clonerand/rand"
)

// Statistics see a generator that is broken, and say nothing about one that is not.
// The good fail such tests, too, now and then. How often is said at each limit
// here: all of them together fail for a good generator less often than once in a million runs.

// rngtest makes the four tests of FIPS 140-2 and one for repeats, in blocks of 20,000
// bits, of which 8.3 in 10,000 fail for a good generator (400,000 blocks measured).
// That more than 40 in 10,000 do has a chance of 10^-15.
func rngtest(t *testing.T, source io.Reader) (complaints []string) {
	const blocks, limit = 10_000, 40
	report := pipeInto(t, source, "rngtest", "-c", strconv.Itoa(blocks))
	var passed, failed int
	for line := range strings.Lines(report) {
		fmt.Sscanf(line, "rngtest: FIPS 140-2 successes: %d", &passed)
		fmt.Sscanf(line, "rngtest: FIPS 140-2 failures: %d", &failed)
	}
	if passed+failed != blocks {
		t.Fatalf("unexpected report of rngtest:\n%s", report)
	}
	if failed > limit {
		complaints = append(complaints, fmt.Sprintf("%d of %d blocks fail, %d may", failed, blocks, limit))
	}
	return complaints
}

// The limits of ent's figures are seven standard deviations away, or for chi-square
// of 255 degrees of freedom 140 and 430: each is passed with a chance under 10^-9.
func ent(t *testing.T, source io.Reader) (complaints []string) {
	const n = 64_000_000
	report := pipeInto(t, io.LimitReader(source, n), "ent", "-t")
	_, last, _ := strings.Cut(strings.TrimSpace(report), "\n")
	figures := strings.Split(last, ",")
	if len(figures) != 7 || figures[1] != strconv.Itoa(n) {
		t.Fatalf("unexpected report of ent:\n%s", report)
	}
	for i, want := range map[int]struct {
		name          string
		middle, limit float64
	}{
		3: {"chi-square", 285, 145},
		4: {"mean", 127.5, 7 * 73.9 / math.Sqrt(n)},                // of bytes: sqrt((256^2-1)/12) is 73.9
		5: {"Monte Carlo pi", math.Pi, 7 * 1.642 / math.Sqrt(n/6)}, // six bytes a point; 4 sqrt(p(1-p)), p = pi/4
		6: {"serial correlation", 0, 7 / math.Sqrt(n)},
	} {
		if x, err := strconv.ParseFloat(figures[i], 64); err != nil || math.Abs(x-want.middle) > want.limit {
			complaints = append(complaints, fmt.Sprintf("%s: %s, want %v +- %v", want.name, figures[i], want.middle, want.limit))
		}
	}
	return complaints
}

// quick are those tests of dieharder that it calls good and that take few seconds.
var quick = map[int]string{
	0: "birthdays", 2: "ranks of 32x32", 3: "ranks of 6x8", 8: "count the 1s", 10: "parking lot",
	15: "runs", 100: "monobit", 101: "runs of STS", 102: "serial of STS",
}

// dieharder says FAILED of a p-value under 10^-6. So that this is no verdict yet, a test has to
// fail four times, with fresh bytes. The p-values of the largest, serial of STS, are not those of
// a perfect generator: with AES-CTR of OpenSSL it failed 6 times of 80. Then it fails four times
// in a row with a chance of 3 x 10^-5.
func dieharder(t *testing.T, source io.Reader, test int) (complaints []string) {
	for range 4 {
		report := pipeInto(t, source, "dieharder", "-g", "200", "-p", "20", "-d", strconv.Itoa(test))
		if strings.Contains(report, "FAILED") {
			complaints = append(complaints, report)
			continue
		}
		if !strings.Contains(report, "PASSED") && !strings.Contains(report, "WEAK") {
			t.Fatalf("unexpected report of dieharder:\n%s", report)
		}
		return nil
	}
	return complaints
}

func TestOutputPassesStatistics(t *testing.T) {
	check := func(name string, verdict func(*testing.T, io.Reader) []string) {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			for _, complaint := range verdict(t, commandRead(t)) {
				t.Error(complaint)
			}
		})
	}
	check("rngtest", rngtest)
	check("ent", ent)
	if testing.Short() {
		return // dieharder takes half a minute
	}
	for number, name := range quick {
		check("dieharder "+name, func(t *testing.T, source io.Reader) []string { return dieharder(t, source, number) })
	}
}

// The limits are not so wide that a bad generator passes: here every 16th byte is zero.
func TestStatisticsSeeABadGenerator(t *testing.T) {
	for name, verdict := range map[string]func(*testing.T, io.Reader) []string{
		"rngtest":   rngtest,
		"ent":       ent,
		"dieharder": func(t *testing.T, source io.Reader) []string { return dieharder(t, source, 100) },
	} {
		t.Run(name, func(t *testing.T) {
			if len(verdict(t, biased{})) == 0 {
				t.Error("it was not noticed")
			}
		})
	}
}

type biased struct{}

func (biased) Read(b []byte) (int, error) {
	n, err := rand.Read(b)
	for i := 0; i < n; i += 16 {
		b[i] = 0
	}
	return n, err
}

// pipeInto returns what a tool says of the source, which may have no end.
func pipeInto(t *testing.T, source io.Reader, tool string, args ...string) (report string) {
	t.Helper()
	packages := map[string]string{"rngtest": "rng-tools5", "ent": "ent", "dieharder": "dieharder"} // Debian's names
	path, err := exec.LookPath(tool)
	if err != nil {
		cannot(t, "no %s here: apt-get install %s", tool, packages[tool])
	}
	c := exec.Command(path, args...)
	c.Stdin = source
	out, err := c.CombinedOutput()
	// rngtest ends with 1 when any block has failed.
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", tool, err)
	}
	return string(out)
}
