package rand

import (
	"errors"
	"fmt"
	"io/fs"
)

var (
	// ErrEntropy says that the entropy source failed, came to an end or gave no
	// bytes. The wrapped cause tells which. The generator emits nothing until the
	// source works again. Every Read tries it.
	ErrEntropy = errors.New("clonerand: entropy source failed")

	// ErrCloned says that a generator whose only source is an NV seed was cloned
	// together with the seed file. It comes when VMClock's generation counter (its
	// disruption marker where it has no counter), SysGenID or the generation file has
	// moved. A marker beside a counter, a fork, a pause or a cycle counter that was set
	// back does not cause it. To go on, call [Generator.Reseed] with a personalization of
	// 16 bytes or more that no other clone has.
	ErrCloned = errors.New("clonerand: cloned together with the NV seed: call Reseed with a personalization of at least 16 bytes that is unique to this clone")
)

var errNoGenerator = errors.New("clonerand: Generator not made by New: make one with New")

func errClosed() error {
	return fmt.Errorf("clonerand: Generator: %w: make another with New", fs.ErrClosed)
}

func errNVResistance() error {
	return fmt.Errorf("clonerand: prediction resistance needs an entropy source besides the NV seed: %w", errors.ErrUnsupported)
}

// crash ends the program with the words of crypto/rand, which its users may look for.
func crash(err error) { fatal("fatal error: crypto/rand: failed to read random data: " + err.Error()) }

// fatal crashes the program. A panic in the goroutine of the caller could be
// recovered; one in a new goroutine cannot, and the caller never returns.
func fatal(message string) {
	go panic(message)
	select {}
}
