package rand

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/clonerand/rand/internal/signalfile"
	"golang.org/x/sys/unix"
)

const vmclockPath = "/dev/vmclock0"

// The layout of the VMClock page, little-endian: struct vmclock_abi of Linux' include/uapi/linux/vmclock-abi.h.
const (
	vmclockMagic      = 0x4b4c4356 // "VCLK", u32 at byte 0
	vmclockVersion    = 1          // u16 at byte 8; a layout that behaves otherwise gets another number
	vmclockMarker     = 2          // word of disruption_marker, u64 at byte 16
	vmclockFlags      = 3          // word of flags, u64 at byte 24
	vmclockHasCounter = 1 << 8     // VMCLOCK_FLAG_VM_GEN_COUNTER_PRESENT
	vmclockCounter    = 13         // word of vm_generation_counter, u64 at byte 104
	vmclockWords      = 14
)

// openVMClock finds the VMClock device (Linux 6.13 and later in a virtual machine; QEMU 10, Firecracker 1.15).
// The hypervisor changes the page before the guest's first instruction. CLONERAND_VMCLOCK=off leaves it out:
// CRIU cannot dump a process that has a device mapped.
func openVMClock() signal {
	if setting("CLONERAND_VMCLOCK") == "off" {
		return leftOut("vmclock", "CLONERAND_VMCLOCK")
	}
	return openVMClockAt(vmclockPath)
}

func openVMClockAt(path string) signal {
	s := signal{name: "vmclock", path: path,
		missing: "it needs Linux 6.13 or later and a hypervisor that offers VMClock",
		denied:  "add the udev rule of docs/hooks.md"}
	memory, err := mapSignal(path, true, vmclockWords)
	if err != nil {
		s.err = err
		return s
	}
	for try := 0; ; try++ {
		constants := atomic.LoadUint64(&memory[1]) // and seq_count, the upper half
		s.watch, s.hints, s.err = parseVMClock(loadBytes(memory))
		if s.err == nil && atomic.LoadUint64(&memory[1]) != constants {
			s.err = errVMClockUpdating
		}
		switch {
		case s.err == nil:
			s.memory = memory
			return s
		case s.err == errVMClockUpdating && try < 50:
			// Not time.Sleep: in a forked child there may be no other thread to wake this one.
			pause := unix.NsecToTimespec(int64(time.Millisecond))
			_ = unix.Nanosleep(&pause, nil)
		default:
			signalfile.Unmap(memory)
			s.watch, s.hints = nil, nil
			return s
		}
	}
}

// An update takes the hypervisor microseconds, so one that lasts 50 ms is a page that nobody looks after.
var errVMClockUpdating = errors.New("seq_count stays odd: its hypervisor never ends the update")

// parseVMClock takes the first bytes of a VMClock page. It returns the words that say that the machine was cloned,
// and those that also move where it was not. The generation counter says it; the marker moves on a migration, too.
// QEMU 10.0 offers no counter (flags is 0), and there the marker has to say it.
func parseVMClock(b []byte) (watch, hints []int, err error) {
	if len(b) < 8*vmclockWords {
		return nil, nil, fmt.Errorf("%d bytes are too few for a VMClock page", len(b))
	}
	if magic := binary.LittleEndian.Uint32(b); magic != vmclockMagic {
		return nil, nil, fmt.Errorf("is no VMClock page (magic %#08x)", magic)
	}
	if version := binary.LittleEndian.Uint16(b[8:]); version != vmclockVersion {
		return nil, nil, fmt.Errorf("VMClock version %d is unknown here (only 1 is known)", version)
	}
	size := binary.LittleEndian.Uint32(b[4:])
	if size < 8*(vmclockFlags+1) {
		return nil, nil, fmt.Errorf("VMClock size %d does not cover the disruption marker and the flags", size)
	}
	if binary.LittleEndian.Uint32(b[12:])&1 != 0 { // seq_count
		return nil, nil, errVMClockUpdating
	}
	if flags := binary.LittleEndian.Uint64(b[8*vmclockFlags:]); flags&vmclockHasCounter != 0 && size >= 8*(vmclockCounter+1) {
		return []int{vmclockCounter}, []int{vmclockMarker}, nil
	}
	return []int{vmclockMarker}, nil, nil
}
