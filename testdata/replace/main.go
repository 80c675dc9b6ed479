// Command replace measures which functions of the standard library draw their
// randomness from this package, and prints what it found as JSON. GODEBUG
// changes that; the build tag customrand sets cryptocustomrand=1 in the program. The tag
// patched is for a patched standard library, see docs/whole.md.
package main

import (
	"bytes"
	"crypto/fips140"
	cryptorand "crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	randv2 "math/rand/v2"
	"os"
	"runtime"

	_ "github.com/clonerand/rand"
)

// A row says for one call what came of it.
type row struct {
	Name     string
	Stable   bool
	Argument string // with the reader passed as argument
	Replaced string // with crypto/rand.Reader replaced, and passed where a reader is taken
	Patched  string // with crypto/rand.Reader as it is, and passed; "" where the standard library is not patched
}

// putHook puts a source in the place of that of a patched standard library, and returns the one
// that was there.
var putHook func(source *func(b []byte)) (old *func(b []byte))

func main() {
	report := struct {
		Go   string
		Rows []row
	}{Go: runtime.Version()}
	for _, c := range calls {
		r := row{Name: c.name, Stable: c.stable, Argument: "takes none"}
		switch {
		case putHook != nil:
			r.Patched = c.measure(byHook)
		case c.takes:
			r.Argument = c.measure(passed)
			fallthrough
		default:
			r.Replaced = c.measure(replaced)
		}
		report.Rows = append(report.Rows, r)
	}
	must(0, json.NewEncoder(os.Stdout).Encode(report))
}

// A way is how the counting reader gets to a call.
type way int

const (
	passed   way = iota
	replaced     // and passed
	byHook
)

// measure makes the call twice on readers that give the same bytes. If it drew from
// them and made the same of them twice, all that it needed came from there.
func (c call) measure(w way) string {
	one, first, err := c.run(w)
	two, second, err2 := c.run(w)
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
	case w == byHook && fips140.Enabled() && first.inputs && second.inputs:
		return "mixed in"
	default:
		return "partly"
	}
}

func (c call) run(w way) (out []byte, count *countingReader, err error) {
	count = &countingReader{of: randv2.NewChaCha8([32]byte{}), inputs: true}
	switch w {
	case replaced:
		defer func(r io.Reader) { cryptorand.Reader = r }(cryptorand.Reader)
		cryptorand.Reader = count
	case byHook:
		source := func(b []byte) { must(count.Read(b)) }
		defer putHook(putHook(&source))
		out, err = c.attempt(cryptorand.Reader)
		return out, count, err
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

	// inputs says that all Reads were such as the generator of the standard library makes
	// in FIPS mode for its additional input.
	inputs bool
}

func (r *countingReader) Read(b []byte) (int, error) {
	if len(b) == 1 {
		b[0] = 0
		return 1, nil
	}
	n, err := r.of.Read(b)
	r.drawn += n
	r.inputs = r.inputs && len(b) == 16
	return n, err
}
