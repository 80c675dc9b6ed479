//go:build amd64 || arm64

// Command guest is a guest of vmtest that has nothing but the public API of package rand. Built with clonerand go
// build its standard library draws from the package; built plainly it is the control.
package main

import (
	"fmt"
	"os"
	"time"

	"github.com/clonerand/rand"
	"github.com/clonerand/rand/internal/probe"
	"github.com/clonerand/rand/internal/vmguest"
)

func main() {
	vmguest.Run(func() vmguest.Guest {
		g := vmguest.Guest{
			Generators: []probe.Generator{
				{Name: "clonerand", New: func() (func([]byte) error, error) {
					return func(b []byte) error { _, err := rand.Read(b); return err }, nil
				}},
				probe.CryptoRand(),
				probe.NewControl(),
			},
			Generation: rand.Generation,
			Patched:    row("standard library").Active,
		}
		if vmguest.Asked("GUARD") { // what the guard is for is read without a break
			g.Generators[0], g.Generators[1] = g.Generators[1], g.Generators[0]
		}
		if vmguest.Asked("KEYS") {
			g.Generators = append(g.Generators, probe.Keys()...)
		}
		if pause := row("pause"); !pause.Active {
			g.Counter = pause.Detail
		}
		return g
	})
	fmt.Fprintln(os.Stderr, "guest: this program runs in a machine of vmtest")
	os.Exit(1)
}

func row(name string) rand.Protection {
	for _, row := range rand.Inspect(time.Millisecond) {
		if row.Name == name {
			return row
		}
	}
	return rand.Protection{}
}
