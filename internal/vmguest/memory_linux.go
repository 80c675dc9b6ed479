//go:build amd64 || arm64

package vmguest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/clonerand/rand/internal/probe"
)

const huge = 2 << 20 // a huge page

// newRegion makes the memory for the records, a log for each generator on each CPU, and says where the
// host finds it. It is of huge pages, which do not move and are few.
func newRegion(g Guest, counter probe.Counter) (region *probe.Region, where string, err error) {
	var specs []probe.Spec
	for range cpus {
		for i, g := range g.Generators {
			// On a fast machine the first reads after a restore are gone before the host stops the guest. So those
			// around the longest gaps are kept: 24 chunks are enough for three gaps.
			spec := probe.Spec{Name: g.Name, Chunks: 24, Records: 1 << 9, Bytes: 32 << 10, After: 5}
			if i == 0 {
				spec.Records, spec.Bytes = 1<<12, 5<<18 // more than the largest read
			}
			specs = append(specs, spec)
		}
	}
	if Asked("GUARD") {
		specs = append(specs, tickSpec())
	}
	mem, err := hugePages(probe.Size(specs))
	if err != nil {
		return nil, "", err
	}
	if where, err = physical(mem); err != nil {
		return nil, "", err
	}
	if region, err = probe.New(mem, specs); err != nil {
		return nil, "", err
	}
	region.SetRate(counter.Rate())
	if g.Counter == "" {
		region.SetCounterUsed()
	}
	return region, where, nil
}

// hugePages maps at least n bytes.
func hugePages(n int) ([]byte, error) {
	mem, err := unix.Mmap(-1, 0, (n+huge-1)&^(huge-1), unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_POPULATE|unix.MAP_HUGETLB)
	if err != nil {
		return nil, fmt.Errorf("memory for the records: %w", err)
	}
	return mem, nil
}

// physical says where mem lies in the machine's memory: "address:length ...".
func physical(mem []byte) (string, error) {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return "", err
	}
	f, err := os.Open("/proc/self/pagemap")
	if err != nil {
		return "", err
	}
	defer f.Close()
	start, err := startOf(string(maps))
	if err != nil {
		return "", err
	}
	page := os.Getpagesize()
	entries := make([]byte, len(mem)/page*8)
	if _, err := f.ReadAt(entries, int64(start)/int64(page)*8); err != nil {
		return "", err
	}
	type run struct{ addr, len uint64 }
	var runs []run
	for i := 0; i < len(entries); i += 8 {
		e := binary.LittleEndian.Uint64(entries[i:])
		if e>>63 == 0 { // bit 63: present; bits 0 to 54: frame number (Documentation/admin-guide/mm/pagemap.rst)
			return "", errors.New("a page of the records is not in memory")
		}
		addr := e & (1<<55 - 1) * uint64(page)
		if n := len(runs); n > 0 && runs[n-1].addr+runs[n-1].len == addr {
			runs[n-1].len += uint64(page)
		} else {
			runs = append(runs, run{addr, uint64(page)})
		}
	}
	var s []string
	for _, r := range runs {
		s = append(s, fmt.Sprintf("%#x:%#x", r.addr, r.len))
	}
	return strings.Join(s, " "), nil
}

// startOf finds the records in /proc/self/maps: the only mapping of huge pages.
func startOf(maps string) (start uint64, err error) {
	for line := range strings.Lines(maps) {
		if strings.Contains(line, "hugepage") {
			_, err = fmt.Sscanf(line, "%x-", &start)
			return start, err
		}
	}
	return 0, errors.New("no huge pages in /proc/self/maps")
}
