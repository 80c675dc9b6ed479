package rand

import "errors"

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
