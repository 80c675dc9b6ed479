//go:build amd64 || arm64

package rand

import (
	"io"
	"time"

	"github.com/clonerand/rand/internal/probe"
	"github.com/clonerand/rand/internal/vmguest"
)

// vmGuest runs the guest of vmtest and does not return, where vmtest has booted this machine with the test binary of
// this package as its only program: what runs there is this very code, and with its detectors off a control.
func vmGuest() {
	vmguest.Run(func() vmguest.Guest {
		g := vmguest.Guest{
			Generators: []probe.Generator{
				vmGenerator("clonerand", func() io.Reader { return Reader }),
				vmGenerator("unguarded", func() io.Reader { return newReaderOn(vmWithoutPauses(noDetectors())) }),
				probe.CryptoRand(),
				probe.NewControl(),
			},
			Counter:    vmCounter(),
			Generation: Generation,
		}
		if vmguest.Asked("SIGNALS") {
			g.Generators = append(g.Generators, vmGenerator("signals alone", func() io.Reader {
				return newReaderOn(vmWithoutPauses(newCloneWatch()))
			}))
		}
		return g
	})
}

func vmGenerator(name string, reader func() io.Reader) probe.Generator {
	return probe.Generator{Name: name, New: func() (func([]byte) error, error) {
		r := reader()
		return func(b []byte) error { _, err := r.Read(b); return err }, nil
	}}
}

// vmWithoutPauses is this machine with the pause detector off in every respect: on a counter that stands
// still and may. One that moves would still show that it was set back, as in a machine that has hibernated.
func vmWithoutPauses(clones *cloneWatch) *host {
	h := newHost()
	h.clones, h.pause = clones, neverPaused()
	still := func() uint64 { return 1 }
	h.pause.read, h.pause.readFenced = still, still
	return h
}

// vmCounter says why the counter is not used, "" where it is. Until the detector has decided its answer is
// no, and says nothing.
func vmCounter() (why string) {
	p := thisHost().pause
	for range 1000 {
		p.usable()
		if l := p.limits.Load(); l != nil {
			return l.why
		}
		time.Sleep(time.Millisecond)
	}
	return "not decided within a second"
}
