//go:build amd64 || arm64

package vmguest

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"time"
)

// runProbe runs clonerand probe run as a user does, and has the host fetch its file.
func runProbe(tty *os.File) error {
	const file = "/tmp/clonerand.probe"
	cmd := exec.Command("/clonerand", "probe", "run", "-o", file)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	cmd.Stderr = tty
	if err := cmd.Start(); err != nil {
		return err
	}
	said := bufio.NewScanner(out)
	if !said.Scan() {
		return fmt.Errorf("clonerand probe run says nothing: %v", cmd.Wait())
	}
	fmt.Fprintf(tty, "vmtest probe %s\n", said.Text())
	go func() {
		for said.Scan() {
			fmt.Fprintln(tty, said.Text())
		}
	}()
	if _, err := bufio.NewReader(tty).ReadString('\n'); err != nil {
		return err
	}
	if _, err := stdin.Write([]byte("\n")); err != nil {
		return err
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("clonerand probe run: %w", err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	mem, err := hugePages(len(b))
	if err != nil {
		return err
	}
	copy(mem, b)
	where, err := physical(mem)
	if err != nil {
		return err
	}
	fmt.Fprintf(tty, "vmtest size %d\n", len(b))
	fmt.Fprintf(tty, "vmtest memory %s\n", where)
	// The host reads the memory, and ends the machine. With select{} and no other goroutine left the runtime would call
	// that a deadlock and end this program, and so the machine, meanwhile.
	for {
		time.Sleep(time.Hour)
	}
}
