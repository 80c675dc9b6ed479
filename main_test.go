package rand

import (
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	vmGuest()
	os.Exit(m.Run())
}
