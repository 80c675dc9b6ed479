package rand

// cycles reads the time-stamp counter (RDTSC). It is not ordered with the
// instructions around it; see docs/pause.md why it need not be.
//
//go:noescape
func cycles() uint64

// cyclesFenced reads it after all earlier instructions and before all later ones
// (Intel SDM, RDTSC: LFENCE before and after).
//
//go:noescape
func cyclesFenced() uint64

// cpuRandom executes RDRAND twice; ok is the carry flag of both. It may only be
// called where hasCPURandom says so.
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

// cpuFeatures executes CPUID for leaf 1 and returns ECX, with the bit of AVX only where the
// operating system knows of it. It is for init: a virtual machine
// traps it, which takes microseconds. Package x/sys/cpu would execute it ten times.
//
//go:noescape
func cpuFeatures() (ecx uint32)

// features is ECX of leaf 1 (Intel SDM, CPUID).
var features = cpuFeatures()

const (
	hasAES    = 1 << 25
	hasRDRAND = 1 << 30

	counterName   = "TSC"
	cpuRandomName = "RDRAND"
)

// hasCounter reports whether cycles may be called, and if not why.
func hasCounter() (ok bool, why string) {
	if counterTraps() {
		return false, "reading the counter is forbidden to this process (prctl PR_SET_TSC)"
	}
	if features&hasAES == 0 {
		return false, "this CPU has no AES instructions"
	}
	return true, ""
}

func hasCPURandom() bool { return features&hasRDRAND != 0 }
