// Command replace measures which functions of the standard library draw their
// randomness from this package, and prints what it found as JSON. GODEBUG
// changes that; the build tag customrand sets cryptocustomrand=1 in the program.
package main

import (
	"bytes"
	cryptorand "crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"

	"github.com/clonerand/rand"
)

// A row says for one call what came of it.
type row struct {
	Name     string
	Stable   bool
	Argument string // with the reader passed as argument
	Replaced string // with crypto/rand.Reader replaced, and passed where a reader is taken
}

func main() {
	report := struct {
		Go   string
		Rows []row
	}{Go: runtime.Version()}
	for _, c := range calls {
		r := row{Name: c.name, Stable: c.stable, Argument: "takes none", Replaced: c.measure(true)}
		if c.takes {
			r.Argument = c.measure(false)
		}
		report.Rows = append(report.Rows, r)
	}
	must(0, json.NewEncoder(os.Stdout).Encode(report))
}

// measure makes the call twice on readers that give the same bytes. If it drew from
// them and made the same of them twice, all that it needed came from there.
func (c call) measure(replace bool) string {
	one, first, err := c.run(replace)
	two, second, err2 := c.run(replace)
	if err != nil || err2 != nil {
		if _, err := c.attempt(cryptorand.Reader); err != nil {
			return "not allowed" // whoever draws
		}
		return "refused"
	}
	same := bytes.Equal(one, two)
	switch {
	case first.drawn == 0 && second.drawn == 0 && same:
		return "draws none"
	case first.drawn == 0 && second.drawn == 0:
		return "no"
	case same:
		return "yes"
	default:
		return "partly"
	}
}

func (c call) run(replace bool) (out []byte, count *countingReader, err error) {
	// A generator with a source of its own is deterministic.
	count = &countingReader{of: must(rand.New(&rand.Config{Entropy: zeros{}, Deterministic: true}))}
	if replace {
		defer func(r io.Reader) { cryptorand.Reader = r }(cryptorand.Reader)
		cryptorand.Reader = count
	}
	out, err = c.attempt(count)
	return out, count, err
}

func (c call) attempt(r io.Reader) (out []byte, err error) {
	defer func() {
		if e := recover(); e != nil { // how some functions say no in FIPS 140-only mode
			err = fmt.Errorf("%v", e)
		}
	}()
	return c.do(r)
}

// countingReader counts what is drawn. A Read of one byte is not: several functions
// make one or none, by chance, just so that nobody relies on what they draw.
type countingReader struct {
	of    io.Reader
	drawn int
}

func (r *countingReader) Read(b []byte) (int, error) {
	if len(b) == 1 {
		b[0] = 0
		return 1, nil
	}
	n, err := r.of.Read(b)
	r.drawn += n
	return n, err
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}
