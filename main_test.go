package rand

import (
	"os"
	"testing"
)

// TestMain lets the test binary be something else than a test run, one line each.
func TestMain(m *testing.M) {
	forkHelper()
	vmGuest()
	os.Exit(m.Run())
}
