//go:build amd64 || arm64

package rand

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/clonerand/rand/internal/vmring"
)

const vmHuge = 2 << 20 // a huge page

// vmNewRegion makes the memory for the records, a log for each generator on each CPU, and says where the
// host finds it. It is of huge pages, which do not move and are few.
func vmNewRegion(gens []vmGenerator) (region *vmring.Region, where string, err error) {
	var specs []vmring.Spec
	for range vmCPUs {
		for i, g := range gens {
			spec := vmring.Spec{Name: g.name, Records: 1 << 14, Bytes: 4 << 20}
			if i == 0 {
				spec = vmring.Spec{Name: g.name, Records: 1 << 16, Bytes: 24 << 20}
			}
			specs = append(specs, spec)
		}
	}
	mem, err := unix.Mmap(-1, 0, (vmring.Size(specs)+vmHuge-1)&^(vmHuge-1), unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_POPULATE|unix.MAP_HUGETLB)
	if err != nil {
		return nil, "", fmt.Errorf("memory for the records: %w", err)
	}
	if where, err = vmPhysical(mem); err != nil {
		return nil, "", err
	}
	if region, err = vmring.New(mem, specs); err != nil {
		return nil, "", err
	}
	region.SetRate(vmRate())
	if thisHost().pause.usable() != nil {
		region.SetCounterUsed()
	}
	return region, where, nil
}

// vmPhysical says where mem lies in the machine's memory: "address:length ...".
func vmPhysical(mem []byte) (string, error) {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return "", err
	}
	f, err := os.Open("/proc/self/pagemap")
	if err != nil {
		return "", err
	}
	defer f.Close()
	start, err := vmStart(string(maps))
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

// vmStart finds the records in /proc/self/maps: the only mapping of huge pages.
func vmStart(maps string) (start uint64, err error) {
	for line := range strings.Lines(maps) {
		if strings.Contains(line, "hugepage") {
			_, err = fmt.Sscanf(line, "%x-", &start)
			return start, err
		}
	}
	return 0, errors.New("no huge pages in /proc/self/maps")
}

// vmRate measures the counter.
func vmRate() uint64 {
	t, c := time.Now(), cycles()
	time.Sleep(50 * time.Millisecond)
	return uint64(float64(cycles()-c) / time.Since(t).Seconds())
}
