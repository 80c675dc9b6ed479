//go:build linux || darwin || windows || freebsd

package rand

import "golang.org/x/sys/cpu"

// cycles reads the virtual counter (CNTVCT_EL0), which these systems let user
// space read; elsewhere a trap to SIGILL could not be caught, see cpu_other.go.
// It is not ordered with the instructions around it; see docs/pause.md why it
// need not be.
//
//go:noescape
func cycles() uint64

// cyclesFenced reads it after all earlier instructions and before all later ones
// (Arm ARM, ISB before and after).
//
//go:noescape
func cyclesFenced() uint64

// cpuRandom reads RNDR twice; ok is false where the Z flag says that a number did
// not come in time. It may only be called where hasCPURandom says so.
//
//go:noescape
func cpuRandom() (x, y uint64, ok bool)

// clearVectors clears the vector registers. They hold V and the last blocks of output,
// and the kernel writes them to the stack at the next signal, of which the runtime sends many.
//
//go:noescape
func clearVectors()

// clearStack clears the 1 KiB of stack below its caller's frame, where functions that have
// returned have left copies. growStack, called before those, makes sure that there is so much:
// a stack that has to grow leaves its old memory as it is.
//
//go:noescape
func clearStack()

//go:noescape
func growStack()

const (
	counterName   = "CNTVCT_EL0"
	cpuRandomName = "RNDR"
)

// hasCounter reports whether cycles may be called, and if not why.
func hasCounter() (ok bool, why string) {
	if !cpu.ARM64.HasAES {
		return false, "this CPU has no AES instructions"
	}
	if counterTraps() {
		return false, "reading the counter is forbidden to this process (prctl PR_SET_TSC)"
	}
	return true, ""
}
