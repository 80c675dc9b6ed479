package rand

import (
	"fmt"
	"math/bits"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	slabSlots = 8   // in a chunk: 52 KiB, so that one fits under a limit of 64 KiB, the default before Linux 5.16
	slabMax   = 128 // chunks: states for 512 CPUs, or 1,024 Generators
	slotLen   = (unsafe.Sizeof(secrets{}) + 63) &^ 63
)

// slab is memory for secrets that the kernel gives to a forked child as zeros
// (MADV_WIPEONFORK, Linux 4.14), leaves out of core dumps, and does not swap where
// RLIMIT_MEMLOCK allows that. It lies outside of Go's heap, and is never unmapped.
//
// It hides secrets and does not show forks: a Read that a fork cuts in two makes its bytes
// of zeros in the child. The generation, read after they were made, discards them.
//
// There is no lock that a fork could leave held.
var slab struct {
	chunks [slabMax]atomic.Pointer[chunk]
	why    atomic.Pointer[string] // why the last secrets that went to ordinary memory did
}

// A chunk is a mapping of slabSlots slots.
type chunk struct {
	memory unsafe.Pointer
	used   atomic.Uint32 // a bit for each slot

	// locked is the number of forks that it was last locked at, plus one. A child has
	// to lock it again.
	locked  atomic.Uint64
	lockWhy atomic.Pointer[string] // why it is not locked
}

// takeSecrets returns memory for a state, all zeros. If it is mapped, it goes back by
// giveSecrets when nobody uses it any more. It is ordinary memory where no page shows a
// fork: a wipe would come unseen there.
func takeSecrets(g *generation, forks uint64) (s *secrets, mapped bool) {
	if !protect.slab {
		return new(secrets), false
	}
	if g == nil || g.page == nil || g.pageWhy() != "" {
		why := "no page shows a fork"
		if g != nil {
			why += ": " + g.pageWhy()
		}
		slab.why.Store(&why)
		return new(secrets), false
	}
	for i := range slab.chunks {
		c := slab.chunks[i].Load()
		if c == nil {
			made, why := newChunk()
			if made == nil {
				slab.why.Store(&why)
				return new(secrets), false
			}
			if slab.chunks[i].CompareAndSwap(nil, made) {
				c = made
			} else {
				_ = unix.MunmapPtr(made.memory, uintptr(chunkLen()))
				c = slab.chunks[i].Load()
			}
		}
		if n, ok := c.take(); ok {
			c.lock(forks)
			return c.slot(n), true
		}
	}
	why := fmt.Sprintf("more than %d generators at a time", slabMax*slabSlots)
	slab.why.Store(&why)
	return new(secrets), false
}

// giveSecrets wipes what takeSecrets has mapped, and gives it back.
func giveSecrets(s *secrets) {
	*s = secrets{}
	at := uintptr(unsafe.Pointer(s))
	for i := range slab.chunks {
		c := slab.chunks[i].Load()
		if c == nil {
			return
		}
		if off := at - uintptr(c.memory); off < slabSlots*slotLen {
			c.used.And(^(uint32(1) << (off / slotLen)))
			return
		}
	}
}

// chunkLen is the length of a chunk: whole pages.
func chunkLen() int {
	page := unix.Getpagesize()
	return (slabSlots*int(slotLen) + page - 1) / page * page
}

// newChunk maps a chunk, or says why that cannot be.
func newChunk() (c *chunk, why string) {
	p, err := unix.MmapPtr(-1, 0, nil, uintptr(chunkLen()), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, "mmap: " + err.Error()
	}
	if errno := advise(p, chunkLen(), unix.MADV_WIPEONFORK); errno != 0 {
		why = "madvise MADV_WIPEONFORK (Linux 4.14): " + errno.Error()
	} else if errno := advise(p, chunkLen(), unix.MADV_DONTDUMP); errno != 0 {
		why = "madvise MADV_DONTDUMP: " + errno.Error()
	}
	if why != "" {
		_ = unix.MunmapPtr(p, uintptr(chunkLen()))
		return nil, why
	}
	return &chunk{memory: p}, ""
}

// slot is sound: the mapping stays for ever, is page-aligned and has room for slabSlots
// times slotLen, which is a multiple of any alignment; and secrets has no pointers that the
// collector would have to find.
func (c *chunk) slot(n int) *secrets { return (*secrets)(unsafe.Add(c.memory, n*int(slotLen))) }

// take marks a free slot as used.
func (c *chunk) take() (n int, ok bool) {
	for {
		used := c.used.Load()
		n := bits.TrailingZeros32(^used)
		if n >= slabSlots {
			return 0, false
		}
		if c.used.CompareAndSwap(used, used|1<<n) {
			return n, true
		}
	}
}

// lock keeps the chunk in memory, if it may: each page from its first use on (Linux 4.4), or all at once.
// Where it may not the rest of the protection stays. A child inherits no locks.
func (c *chunk) lock(forks uint64) {
	if c.locked.Load() == forks+1 {
		return
	}
	c.lockWhy.Store(nil)
	_, _, errno := unix.Syscall(unix.SYS_MLOCK2, uintptr(c.memory), uintptr(chunkLen()), unix.MLOCK_ONFAULT)
	if errno == unix.ENOSYS {
		_, _, errno = unix.Syscall(unix.SYS_MLOCK, uintptr(c.memory), uintptr(chunkLen()), 0)
	}
	if errno != 0 {
		why := errno.Error()
		c.lockWhy.Store(&why)
	}
	c.locked.Store(forks + 1)
}

// inspectSlab reports where the secrets of the process are.
func inspectSlab(g *generation) Protection {
	p := Protection{Name: "secrets"}
	if slab.chunks[0].Load() == nil { // nothing was read yet
		if s, mapped := takeSecrets(g, g.forks); mapped {
			giveSecrets(s)
		}
	}
	chunks, unlocked, lockWhy := 0, 0, ""
	for i := range slab.chunks {
		c := slab.chunks[i].Load()
		if c == nil {
			break
		}
		chunks++
		if why := c.lockWhy.Load(); why != nil {
			unlocked, lockWhy = unlocked+1, *why
		}
	}
	if chunks == 0 {
		p.Detail = "in ordinary memory: "
		if why := slab.why.Load(); why != nil {
			p.Detail += *why
		}
		p.Mend = ordinaryMend
		return p
	}
	p.Active = true
	p.Detail = "in pages that are wiped on fork and left out of core dumps"
	if unlocked == 0 {
		p.Detail += ", and locked"
	} else {
		p.Detail += ", but not all are locked: mlock2: " + lockWhy
		p.Mend = "raise the limit (ulimit -l), or encrypt swap"
	}
	if why := slab.why.Load(); why != nil {
		p.Active = false
		p.Detail += "; some in ordinary memory: " + *why
		p.Mend = ordinaryMend
	}
	return p
}
