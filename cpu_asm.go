//go:build amd64 || (arm64 && (linux || darwin || windows || freebsd))

package rand

// cycles reads the time-stamp counter (RDTSC), or the virtual counter (CNTVCT_EL0), which
// these systems let user space read. It is not ordered with the instructions around it;
// docs/pause.md says why it need not be.
//
//go:noescape
func cycles() uint64

// cyclesFenced reads it after all earlier instructions and before all later ones (Intel
// SDM, RDTSC: LFENCE before and after; Arm ARM: ISB before and after).
//
//go:noescape
func cyclesFenced() uint64

// cpuRandom executes RDRAND or reads RNDR, twice. ok is false where a number did not come:
// by the carry flag, or the Z flag. It may only be called where hasCPURandom says so.
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
