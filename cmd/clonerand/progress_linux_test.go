package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A real terminal on standard error gets a line of progress when there is much to write, and only then.
func TestProgressOnATerminal(t *testing.T) {
	for args, want := range map[string]string{
		"read -n 512M":      "\r536.9 of 536.9 MB, ",
		"read -n 64M -hex":  "\r67.1 of 67.1 MB, ",
		"read -n 67108863":  "",
		"read -n 16":        "",
		"read -n 512M nope": "usage: clonerand read",
	} {
		master, terminal := openTerminal(t)
		cmd := exec.Command(program(t), strings.Fields(args)...)
		cmd.Stderr = terminal
		if err := cmd.Run(); err != nil && cmd.ProcessState.ExitCode() != 2 {
			t.Fatal(err)
		}
		terminal.Close()
		if got := readTerminal(t, master); !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("clonerand %s wrote %q, want %q in it", args, got, want)
		}
	}
}

func openTerminal(t *testing.T) (master, terminal *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no pseudo-terminal:", err)
	}
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Skip("no pseudo-terminal:", err)
	}
	return master, terminal
}

// readTerminal returns what was written; the read after the last byte fails, since nobody has the terminal open.
func readTerminal(t *testing.T, master *os.File) string {
	t.Helper()
	got := make(chan string, 1)
	go func() {
		var all []byte
		for {
			b := make([]byte, 4096)
			n, err := master.Read(b)
			all = append(all, b[:n]...)
			if err != nil {
				got <- string(all)
				return
			}
		}
	}()
	select {
	case s := <-got:
		return s
	case <-time.After(10 * time.Second):
		t.Fatal("the terminal stays open")
		return ""
	}
}
