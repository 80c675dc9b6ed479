//go:build !amd64 && !(arm64 && (linux || darwin || windows || freebsd))

package rand

const (
	counterName   = "none"
	cpuRandomName = "none"
)

// cycles is never called: hasCounter says that there is no counter to read.
func cycles() uint64 { return 0 }

func cyclesFenced() uint64 { return 0 }

// cpuRandom is never called: hasCPURandom says that there is none.
func cpuRandom() (x, y uint64, ok bool) { return 0, 0, false }

// hasCounter says no: Go cannot catch the signal of a read that traps, so only counters that
// are known to be readable count. 32-bit x86 has one that nobody has tried.
func hasCounter() (ok bool, why string) {
	return false, "no cycle counter is known to be readable on this system and CPU"
}

func hasCPURandom() bool { return false }

// clearVectors cannot name the registers here.
func clearVectors() {}

// clearStack and growStack do as those of cpu_asm.go.
//
//go:noinline
func clearStack() {
	var room [1024]byte
	keep(&room)
}

func growStack() { clearStack() }

// keep is a use of what would else be left out.
//
//go:noinline
func keep(*[1024]byte) {}
