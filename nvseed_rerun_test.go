package rand

import (
	"bytes"
	"os"
	"os/exec"
	"testing"
)

// rerun runs the test again, alone, in a process with env in its environment,
// and takes over its result.
func rerun(t *testing.T, env string, options ...func(*exec.Cmd)) {
	t.Helper()
	cmd := testBinary(t.Context(), "-test.v", "-test.run=^"+t.Name()+"$")
	// The race detector would wait for a second before each end.
	cmd.Env = append(os.Environ(), env, "GORACE=atexit_sleep_ms=0")
	for _, o := range options {
		o(cmd)
	}
	out, err := cmd.CombinedOutput()
	switch {
	case err != nil && !bytes.Contains(out, []byte("=== RUN")):
		t.Skipf("this machine does not start such a process: %v", err)
	case err != nil:
		t.Errorf("%v\n%s", err, out)
	case bytes.Contains(out, []byte("--- SKIP")):
		t.Skipf("%s", out)
	case !bytes.Contains(out, []byte("--- PASS")):
		t.Errorf("the test did not run:\n%s", out)
	}
}
