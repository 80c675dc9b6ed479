package main

import (
	"bytes"
	"encoding/hex"
	"io"
	"os/exec"
	"strings"
	"testing"
)

func TestSizes(t *testing.T) {
	for s, want := range map[string]int64{
		"0": 0, "1": 1, "64": 64, "64K": 64 << 10, "64k": 64 << 10, "10M": 10 << 20, "1G": 1 << 30, "2T": 2 << 40,
		"9223372036854775807": 1<<63 - 1, "8388607T": 8388607 << 40,
		"": -1, "K": -1, "-1": -1, "+1": -1, "1.5M": -1, "64KB": -1, "0x10": -1, "1 K": -1, "1P": -1,
		"9223372036854775808": -1, "8388608T": -1,
	} {
		got, err := parseSize(s)
		if err != nil {
			got = -1
		}
		if got != want {
			t.Errorf("parseSize(%q) = %d, %v, want %d", s, got, err, want)
		}
	}
}

func TestReadWritesExactlyTheBytesAskedFor(t *testing.T) {
	for args, want := range map[string]int{"-n 0": 0, "-n 1": 1, "-n 16": 16, "-n 64K": 64 << 10, "-n 100001": 100001, "-n 3M": 3 << 20} {
		for _, asHex := range []bool{false, true} {
			fields := strings.Fields(args)
			if asHex {
				fields = append(fields, "-hex")
			}
			var stdout, stderr bytes.Buffer
			if status := run(append([]string{"read"}, fields...), &stdout, &stderr); status != 0 || stderr.Len() > 0 {
				t.Fatalf("read %v: status %d, %s", fields, status, &stderr)
			}
			b := stdout.Bytes()
			if asHex {
				digits, ok := bytes.CutSuffix(b, []byte("\n"))
				var err error
				if b, err = hex.DecodeString(string(digits)); err != nil || !ok {
					t.Errorf("read %v: no line of digits: %v", fields, err)
				}
			}
			if len(b) != want {
				t.Errorf("read %v wrote %d bytes, want %d", fields, len(b), want)
			}
			blocks := make(map[[16]byte]bool)
			for ; len(b) >= 16; b = b[16:] {
				blocks[[16]byte(b)] = true
			}
			if len(blocks) != want/16 {
				t.Errorf("read %v: %d different blocks of %d", fields, len(blocks), want/16)
			}
		}
	}
}

func TestAClosedPipeIsACleanEnd(t *testing.T) {
	for _, args := range [][]string{{"read"}, {"read", "-hex"}, {"read", "-n", "1G"}} {
		cmd := exec.Command(program(t), args...)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, out, 1<<20); err != nil {
			t.Error(err)
		}
		out.Close()
		if err := cmd.Wait(); err != nil || stderr.Len() > 0 {
			t.Errorf("clonerand %v: %v, %s", args, err, &stderr)
		}
	}
}
