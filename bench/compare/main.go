// Compare measures clonerand beside other random generators, in one run, and writes the figures of this kind of
// machine, and from those of all machines the tables results.md and the charts throughput.svg and read16.svg:
//
//	cd bench/compare && go run .
//
// With -show it measures nothing, and writes the tables and charts only.
//
// With -check it only measures the row that has a limit, 16 bytes against frand,
// and writes nothing. The exit status is 1 when that limit is missed by more than
// 30 % in three tries.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

const (
	mustVersusFrand = 1.0
	aimVersusFrand  = 0.7
	tolerance       = 1.3
	tries           = 3
)

func main() {
	check := flag.Bool("check", false, "only measure 16 bytes against frand")
	show := flag.Bool("show", false, "measure nothing, and write the tables and charts of what was measured")
	out := flag.String("out", ".", "the folder to write to")
	flag.Parse()
	var err error
	switch {
	case os.Getenv(workerRole) != "":
		err = work()
	case *show:
		err = writeResults(*out)
	case *check:
		err = checkFrand()
	case os.Getenv(builtRole) == "":
		err = runWithC() // builds this program with what there is and runs it
	default:
		if err = compare(*out); err == nil {
			err = checkFrand()
		}
	}
	if err != nil {
		if err != errSaid {
			fmt.Fprintln(os.Stderr, "compare:", err)
		}
		os.Exit(1)
	}
}

func compare(out string) error {
	peers := goPeers()
	w, err := startFIPSWorker()
	if err != nil {
		return err
	}
	defer w.stop()
	fips := peer{name: nameFIPS, clones: "as crypto/rand: 16 bytes of it go into each Read", worker: w}
	peers = append(peers[:2:2], append([]peer{fips}, peers[2:]...)...)
	plain, resistant := mbedtlsPeers()
	peers = append(peers, append(opensslPeers(), plain...)...)

	alone, err := measure(peers, 1)
	if err != nil {
		return err
	}
	pair, err := measure(peers, 2)
	if err != nil {
		return err
	}
	resistant = append([]peer{{name: nameOurs, loop: resistantReads}}, resistant...)
	resistantNS, err := perRead(resistant, 1, 16)
	if err != nil {
		return err
	}
	m := newMachine()
	m.Alone, m.Pair = alone.measured(), pair.measured()
	for i, p := range resistant {
		m.Resistant = append(m.Resistant, measured{Who: p.name, NS: map[string]float64{"16 B": resistantNS[i]}})
	}
	if err := m.save(out); err != nil {
		return err
	}
	return writeResults(out)
}

// writeResults writes what is made of the figures of all machines.
func writeResults(out string) error {
	all, err := loadMachines(out)
	if err != nil {
		return err
	}
	text := markdown(all)
	fmt.Print(text)
	if err := os.WriteFile(filepath.Join(out, "results.md"), []byte(text), 0o644); err != nil {
		return err
	}
	return charts(all, out)
}

// checkFrand is the limit of this comparison.
func checkFrand() error {
	all := goPeers()
	pair := []peer{*find(all, nameOurs), *find(all, nameFrand)}
	var ratio float64
	for range tries {
		ns, err := perRead(pair, 1, 16)
		if err != nil {
			return err
		}
		ratio = ns[0] / ns[1]
		fmt.Printf("16 B, time vs frand: %.2f (%.1f ns, %.1f ns), must <= %g, aim %g\n",
			ratio, ns[0], ns[1], mustVersusFrand, aimVersusFrand)
		if ratio <= mustVersusFrand*tolerance {
			return nil
		}
	}
	return fmt.Errorf("16 B against frand is missed by more than 30 %%: %.2f", ratio)
}
