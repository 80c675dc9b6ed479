package rand

import "errors"

var (
	// ErrEntropy says that the entropy source failed, came to an end or gave no
	// bytes; the wrapped cause tells which. The generator emits nothing until the
	// source works again: every Read tries it.
	ErrEntropy = errors.New("clonerand: entropy source failed")

	// ErrCloned says that a generator fed by nothing but an NV seed was cloned, as
	// a clone signal told, and the seed file with it. To go on, call Reseed with a
	// personalization of 16 bytes or more that no other clone has.
	ErrCloned = errors.New("clonerand: cloned together with the NV seed: call Reseed with a personalization of at least 16 bytes that is unique to this clone")
)
