package rand

import (
	"encoding/binary"
	"testing"
)

// OnClone is told by a real generation file, and by a file that stands in for VMClock.
func TestOnCloneIsToldByTheSignals(t *testing.T) {
	for name, c := range map[string]struct {
		page   []byte
		open   func(path string) signal
		offset int64
	}{
		"generation file": {make([]byte, 64), openGenerationFileAt, 0},
		"vmclock":         {vmclockPage(nil), openVMClockAt, 8 * vmclockCounter},
	} {
		t.Run(name, func(t *testing.T) {
			path := writeSignalFile(t, c.page)
			w := noDetectors()
			w.signals = []func() signal{func() signal { return c.open(path) }}
			told := make(chan uint64, 10)
			defer w.onClone(func(generation uint64) { told <- generation })()
			if why := w.current().signals[0].why(); why != "" {
				t.Fatal(why)
			}
			for i := range uint64(3) {
				if err := writeAt(path, c.offset, binary.LittleEndian.AppendUint64(nil, 1000+i)); err != nil {
					t.Fatal(err)
				}
				wantTold(t, told, i+2)
			}
		})
	}
}
