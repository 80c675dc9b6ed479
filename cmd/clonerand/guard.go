package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

var guardCommand = &command{
	name:  "guard",
	args:  "[-every DURATION] [-v] | -once [-id HEX | -id-file F]",
	short: "make the kernel's generator unique again after each restore of the machine",
	long: `Every program draws from the kernel, whose generator repeats in clones until it reseeds. On each tick this daemon
gives the kernel 32 bytes from the package, which has noticed the pause of a restore, and makes it reseed. They are not
credited as entropy, so they can do no harm. It also does so when a clone signal moves, within 10 ms. It needs
the capability CAP_SYS_ADMIN and Linux 5.19, or a stable release with the same random.c (5.10.119 is the first).

When the first tick is done it tells systemd, and writes one line. It writes another whenever the kernel begins or ceases
to refuse. It ends on SIGTERM and SIGINT with status 0.

What it cannot do: what is drawn between a restore and the first tick after it may repeat; and programs that keep a
generator of their own (OpenSSL's, say) draw from that.

With -once it does one tick and ends: for hooks. The status is 1 where the kernel did not reseed.
`,
	start: func(flags *flag.FlagSet) action {
		every := flags.Duration("every", 10*time.Millisecond, "the time between two ticks, a `DURATION` from 1ms to 1m; by default 10ms")
		verbose := flags.Bool("v", false, "write a line for each tick: its number, and the cycle counter or the clock when it was done")
		once := flags.Bool("once", false, "one tick, and no daemon")
		digits := flags.String("id", "", "also give the kernel an identity that only this clone has: hexadecimal digits `HEX`")
		file := flags.String("id-file", "", "the same from the file `F`; from standard input where F is -")
		return func(_ []string, stdout, stderr io.Writer) error {
			given := make(map[string]bool)
			flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
			var id []byte
			var err error
			switch {
			case given["id"] && given["id-file"]:
				return misused("-id and -id-file exclude each other")
			case (given["id"] || given["id-file"]) && !*once:
				return misused("-id and -id-file are for -once: a clone of the daemon has the same")
			case *once && (given["every"] || *verbose):
				return misused("-once has no ticks for -every and -v")
			case *every < time.Millisecond || *every > time.Minute:
				return misused("-every %v is not from 1ms to 1m", *every)
			case given["id"]:
				if id, err = hexIdentity(*digits); err != nil {
					return errMisused{err}
				}
			case given["id-file"]:
				if id, err = fileIdentity(*file); err != nil {
					return err
				}
			}
			if *once {
				return guardOnce(id, stdout)
			}
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			ticked := func(uint64, string, uint64) {}
			if *verbose {
				ticked = func(n uint64, counter string, end uint64) { fmt.Fprintf(stderr, "tick %d %s %d\n", n, counter, end) }
			}
			ended := make(chan error, 1)
			go func() {
				ended <- guard(ctx, *every, ticked, func(format string, args ...any) {
					fmt.Fprintf(stderr, "clonerand guard: "+format+"\n", args...)
				})
			}()
			select {
			case err := <-ended:
				return err
			case <-ctx.Done():
			}
			select {
			case err := <-ended:
				return err
			case <-time.After(time.Second): // it waits for somebody who does not read its lines
				return nil
			}
		}
	},
}
