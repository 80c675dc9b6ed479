package rand

import (
	"context"
	"os"
	"os/exec"
	"testing"
)

// emulatorEnv names the user-mode emulator that the tests run in, which a process
// in it can not see: .ci/emulated.sh sets it.
const emulatorEnv = "CLONERAND_TEST_EMULATOR"

// testBinary is this test binary, to be run again in a process of its own. In an
// emulator the kernel would be given a program of another CPU; it is
// given the emulator instead.
func testBinary(ctx context.Context, args ...string) *exec.Cmd {
	if emulator := os.Getenv(emulatorEnv); emulator != "" {
		return exec.CommandContext(ctx, emulator, append([]string{os.Args[0]}, args...)...)
	}
	return exec.CommandContext(ctx, os.Args[0], args...)
}

// skipEmulated skips a test of what the emulator does not do as the kernel does.
func skipEmulated(t testing.TB, why string) {
	t.Helper()
	if os.Getenv(emulatorEnv) != "" {
		t.Skip("user-mode emulation:", why)
	}
}
