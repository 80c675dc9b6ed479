package main

import (
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/clonerand/rand/internal/probe"
)

// kernelGenerators are what the kernel has besides what crypto/rand makes of it: since Linux 6.11 that is the vDSO.
var kernelGenerators = []probe.Generator{{Name: "getrandom", New: func() (func([]byte) error, error) {
	return func(b []byte) error { _, err := unix.Getrandom(b, 0); return err }, nil
}}}

// counterReadable reports whether reading the counter is no SIGSEGV.
func counterReadable() bool {
	var mode int32 // prctl(2), PR_GET_TSC; an error where the kernel cannot forbid it
	// Sound: the call writes one int, and mode lives until it has returned.
	err := unix.Prctl(unix.PR_GET_TSC, uintptr(unsafe.Pointer(&mode)), 0, 0, 0)
	return err != nil || mode != unix.PR_TSC_SIGSEGV
}

func thisMachine() probe.Machine {
	var u unix.Utsname
	unix.Uname(&u) // an empty name is one that is not known
	m := probe.Machine{System: systemName("Linux " + unix.ByteSliceToString(u.Release[:]))}
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(info)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			m.CPU = strings.TrimSpace(value)
			break
		}
	}
	var words []string
	for _, file := range []string{"/sys/class/dmi/id/sys_vendor", "/sys/class/dmi/id/product_name", "/sys/hypervisor/type"} {
		if b, err := os.ReadFile(file); err == nil {
			words = append(words, strings.TrimSpace(string(b)))
		}
	}
	m.Hypervisor = strings.Join(words, ", ")
	return m
}
