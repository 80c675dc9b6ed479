package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/clonerand/rand/internal/probe"
)

// How the host talks with the program in the guest: words on the console, and the guest's memory.

// span is a piece of the guest's physical memory.
type span struct{ addr, len uint64 }

var errEnded = errors.New("the guest ended")

// said looks for a line "vmtest <word> ..." that the guest has printed, and returns what follows the word. A
// complaint of the guest is an error.
func (v *vm) said(word string) (rest string, ok bool, err error) {
	b, err := os.ReadFile(filepath.Join(v.dir, "console.log"))
	if err != nil {
		return "", false, err
	}
	for s := range strings.Lines(string(b)) {
		if !strings.HasSuffix(s, "\n") {
			break // not all of it is there yet
		}
		if _, rest, ok := strings.Cut(s, "vmtest error "); ok {
			return "", false, fmt.Errorf("guest: %s", strings.TrimSpace(rest))
		}
		if _, rest, ok := strings.Cut(s, "vmtest "+word+" "); ok {
			return strings.TrimSpace(rest), true, nil
		}
	}
	select {
	case <-v.gone:
		return "", false, fmt.Errorf("%w; console: %q; QEMU: %s", errEnded, b, &v.stderr)
	default:
		return "", false, nil
	}
}

// line waits for such a line.
func (v *vm) line(ctx context.Context, word string) (string, error) {
	for {
		if rest, ok, err := v.said(word); ok || err != nil {
			return rest, err
		}
		if err := sleep(ctx, pollTime); err != nil {
			return "", fmt.Errorf("no word %q from the guest: %w", word, err)
		}
	}
}

// say writes a line on the guest's console and waits until the guest's terminal has echoed it, since what is
// under way when a client closes is lost. It does not stay connected: a client that does not read makes the
// port drop what the guest prints.
func (v *vm) say(ctx context.Context, line string) error {
	conn, err := net.Dial("unix", filepath.Join(v.dir, "console.sock"))
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if _, err := fmt.Fprintln(conn, line); err != nil {
		return err
	}
	for echo := bufio.NewScanner(conn); ; {
		if !echo.Scan() {
			return fmt.Errorf("the guest's console ended before it echoed: %v", echo.Err())
		}
		if strings.HasSuffix(strings.TrimSpace(echo.Text()), line) {
			return nil
		}
	}
}

// records waits for the guest's word where it records its reads.
func (v *vm) records(ctx context.Context) ([]span, error) {
	line, err := v.line(ctx, "memory")
	if err != nil {
		return nil, err
	}
	var spans []span
	for _, f := range strings.Fields(line) {
		var s span
		if _, err := fmt.Sscanf(f, "0x%x:0x%x", &s.addr, &s.len); err != nil {
			return nil, fmt.Errorf("guest's word on its memory %q: %w", line, err)
		}
		spans = append(spans, s)
	}
	return spans, nil
}

// image copies the guest's records, or their header only. A whole one is taken while the guest stands.
func (v *vm) image(ctx context.Context, spans []span, headerOnly bool) (*probe.Image, error) {
	if headerOnly {
		spans = []span{{spans[0].addr, probe.HeaderSize}}
	}
	all, err := v.memory(ctx, spans)
	if err != nil {
		return nil, err
	}
	return probe.Parse(all)
}

// memory copies these pieces of the guest's memory.
func (v *vm) memory(ctx context.Context, spans []span) (all []byte, err error) {
	for _, s := range spans {
		v.dumps++
		name := filepath.Join(v.dir, fmt.Sprintf("memory.%d", v.dumps))
		err := v.qmp.run(ctx, "pmemsave", map[string]any{"val": s.addr, "size": s.len, "filename": name}, nil)
		if err != nil {
			// A program that ends takes the machine with it, and its words say why.
			console, _ := os.ReadFile(filepath.Join(v.dir, "console.log"))
			return nil, fmt.Errorf("%w; console: %q", err, console)
		}
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		os.Remove(name)
		all = append(all, b...)
	}
	return all, nil
}

// reads waits until the guest has completed a read of the first generator.
func (v *vm) reads(ctx context.Context, spans []span, from *probe.Image) error {
	for {
		img, err := v.image(ctx, spans, true)
		if err != nil {
			return err
		}
		for i := range img.Logs {
			if img.Logs[i].Name == img.Logs[0].Name && img.Logs[i].Count > from.Logs[i].Count {
				return nil
			}
		}
		if err := sleep(ctx, time.Millisecond); err != nil {
			return err
		}
	}
}

// until lets the guest run until each of its logs of the first generator has n more records than
// from, and stops it.
func (v *vm) until(ctx context.Context, spans []span, from *probe.Image, n uint64) error {
	for {
		img, err := v.image(ctx, spans, true)
		if err != nil {
			return err
		}
		done := true
		for i := range img.Logs {
			want := uint64(3) // the others are read less often
			if img.Logs[i].Name == img.Logs[0].Name {
				want = n
			}
			done = done && img.Logs[i].Count >= from.Logs[i].Count+want
		}
		if done {
			return v.qmp.run(ctx, "stop", nil, nil)
		}
		if err := sleep(ctx, pollTime); err != nil {
			return err
		}
	}
}

// generation waits until the guest's Generation is no longer old.
func (v *vm) generation(ctx context.Context, spans []span, old uint64) error {
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, fmt.Errorf("the guest's Generation stayed %d", old))
	defer cancel()
	for {
		img, err := v.image(ctx, spans, true)
		if err != nil || img.Generation != old {
			return err
		}
		if err := sleep(ctx, pollTime); err != nil {
			return err
		}
	}
}
