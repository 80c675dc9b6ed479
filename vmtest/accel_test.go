package main

import (
	"errors"
	"runtime"
	"testing"
)

func TestAccelerateTakesWhatIsAskedFor(t *testing.T) {
	foreign := map[string]string{"amd64": "arm64"}[runtime.GOARCH]
	if foreign == "" {
		foreign = "amd64"
	}
	for _, test := range []struct {
		accel, arch string
		cannot      bool
		fails       bool
	}{
		{accel: "tcg", arch: runtime.GOARCH},
		{accel: "tcg", arch: foreign},
		{accel: "auto", arch: foreign}, // KVM runs machines of its own architecture only
		{accel: "kvm", arch: foreign, cannot: true, fails: true},
		{accel: "xen", arch: runtime.GOARCH, fails: true},
	} {
		chosen := []scenario{{machine: machine{arch: test.arch}}}
		err := accelerate(t.Context(), test.accel, chosen, t.TempDir())
		if (err != nil) != test.fails || errors.Is(err, errCannot) != test.cannot {
			t.Errorf("%s, %s: %v", test.accel, test.arch, err)
		}
		if err == nil && chosen[0].machine.accel != "tcg" {
			t.Errorf("%s, %s: runs on %q", test.accel, test.arch, chosen[0].machine.accel)
		}
	}
}
