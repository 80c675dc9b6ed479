package main

import (
	"bufio"
	"crypto/fips140"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

// GODEBUG=fips140 is fixed when a process starts. So crypto/rand in FIPS mode runs in
// a second one, a worker, which is asked in turns with the peers in this one.

const workerRole = "CLONERAND_COMPARE_WORKER" // in the environment of a worker

type worker struct {
	cmd     *exec.Cmd
	ask     io.WriteCloser
	answers *bufio.Reader
}

func startFIPSWorker() (*worker, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	w := &worker{cmd: exec.Command(exe)}
	w.cmd.Env = append(os.Environ(), workerRole+"=1", "GODEBUG=fips140=on")
	w.cmd.Stderr = os.Stderr
	if w.ask, err = w.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	w.answers = bufio.NewReader(out)
	return w, w.cmd.Start()
}

// time has the worker read n times and returns how long that took there.
func (w *worker) time(goroutines, size, n int) (t time.Duration, err error) {
	if _, err := fmt.Fprintln(w.ask, goroutines, size, n); err != nil {
		return 0, err
	}
	_, err = fmt.Fscanln(w.answers, &t)
	return t, err
}

func (w *worker) stop() error {
	w.ask.Close()
	return w.cmd.Wait()
}

// work is the other end: it ends with its input.
func work() error {
	if !fips140.Enabled() {
		return fmt.Errorf("GODEBUG=fips140=on has no effect in this build")
	}
	crypto := find(goPeers(), nameCrypto)
	in := bufio.NewReader(os.Stdin)
	for {
		var goroutines, size, n int
		_, err := fmt.Fscanln(in, &goroutines, &size, &n)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		t, err := crypto.time(goroutines, size, n)
		if err != nil {
			return err
		}
		fmt.Println(int64(t))
	}
}
