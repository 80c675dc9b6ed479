package main

import (
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/clonerand/rand"
)

var readCommand = &command{
	name:  "read",
	args:  "[-n BYTES] [-hex]",
	short: "write random bytes to standard output",
	long: `Writes random bytes to standard output: BYTES of them, or without -n until the other end of the pipe closes. A
closed pipe is no error.
`,
	start: func(flags *flag.FlagSet) action {
		n := int64(-1)
		flags.Func("n", "how many `BYTES`: 64, 64K, 10M, 1G, 2T; K is 1024", func(s string) (err error) {
			n, err = parseSize(s)
			return err
		})
		asHex := flags.Bool("hex", false, "write them as hexadecimal digits, and a new line after the last of BYTES")
		return func(_ []string, stdout, stderr io.Writer) error {
			return stream(stdout, n, *asHex, newProgress(n, stderr))
		}
	},
}

// stream writes n random bytes, or bytes without end where n is negative, and calls progress with the count.
func stream(w io.Writer, n int64, asHex bool, progress func(written int64, end bool)) (err error) {
	out := w
	if asHex {
		out = hex.NewEncoder(w)
	}
	buf := make([]byte, 64<<10)
	defer clear(buf)
	written := int64(0)
	defer func() { progress(written, true) }()
	for n < 0 || written < n {
		b := buf
		if n >= 0 {
			b = buf[:min(int64(len(buf)), n-written)]
		}
		rand.Read(b)
		if _, err := out.Write(b); err != nil {
			return err
		}
		written += int64(len(b))
		progress(written, false)
	}
	if asHex {
		_, err = io.WriteString(w, "\n")
	}
	return err
}

// parseSize reads a number of bytes such as 64, 64K or 1G.
func parseSize(s string) (int64, error) {
	shift := 0
	if s != "" {
		if i := strings.IndexByte("KMGT", s[len(s)-1]&^0x20); i >= 0 {
			shift = 10 * (i + 1)
			s = s[:len(s)-1]
		}
	}
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil || n > math.MaxInt64>>shift {
		return 0, errors.New("not a size such as 64, 64K or 1G")
	}
	return int64(n) << shift, nil
}

// newProgress returns the function that keeps a line on standard error up to date, where that is a terminal and
// there is enough to write that somebody may wait for it.
func newProgress(n int64, stderr io.Writer) func(written int64, end bool) {
	if n >= 0 && n < 64<<20 || !isTerminal(stderr) {
		return func(int64, bool) {}
	}
	start := time.Now()
	shown := start
	return func(written int64, end bool) {
		now := time.Now()
		if !end && now.Sub(shown) < 500*time.Millisecond {
			return
		}
		shown = now
		total := ""
		if n >= 0 {
			total = fmt.Sprintf(" of %.1f", float64(n)/1e6)
		}
		rate := float64(written) / 1e6 / max(now.Sub(start).Seconds(), 1e-9)
		fmt.Fprintf(stderr, "\r%.1f%s MB, %.0f MB/s ", float64(written)/1e6, total, rate)
		if end {
			fmt.Fprintln(stderr)
		}
	}
}

// isTerminal also says yes to other character devices, to which a line of progress does no harm.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&fs.ModeCharDevice != 0
}
