//go:build !linux

package rand

// Only Linux has pages that are wiped on fork and left out of core dumps, both of
// which secrets would need.

func takeSecrets(*generation, uint64) (s *secrets, mapped bool) { return new(secrets), false }

// giveSecrets is never called: nothing is mapped.
func giveSecrets(*secrets) {}

func inspectSlab(*generation) Protection {
	return Protection{
		Name:   "secrets",
		Detail: "in ordinary memory: pages for them exist on Linux only",
		Mend:   ordinaryMend,
	}
}
