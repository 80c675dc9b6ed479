package rand

// cpuFeatures executes CPUID for leaf 1 and returns ECX, with the bit of AVX only where the
// operating system knows of it. It is called once, by init, since a virtual machine traps
// CPUID, which takes microseconds. Package x/sys/cpu would execute it ten times.
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
