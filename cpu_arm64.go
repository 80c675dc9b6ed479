//go:build linux || darwin || windows || freebsd

package rand

import "golang.org/x/sys/cpu"

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
