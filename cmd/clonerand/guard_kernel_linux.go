package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"github.com/clonerand/rand"
	"github.com/clonerand/rand/internal/probe"
	"golang.org/x/sys/unix"
)

// poolInfo is struct rand_pool_info of linux/random.h, with room for as much as is given here.
type poolInfo struct {
	bits, size int32
	data       [32 + identitySize]byte
}

// A kernel is the kernel's random generator, as an administrator may handle it.
//
// What drivers/char/random.c does with RNDRESEEDCRNG: before Linux 4.17 it is EINVAL. Until 5.11 the new key came from
// the old one (mended in 5.12 and in stable releases: commit 11a0b5e0ec8c). Until 5.18 it came from the pool, but only
// if enough was credited to the pool; a reseed used that up. Since 5.19 it always comes from the pool (commit
// e85c0fc1d94c, in 5.10.119 and the stable releases of the same days, too).
type kernel struct {
	device  int
	counter func() uint64
	name    string // of the counter: "cycle counter" or "clock"
	limit   uint64 // a tick that took longer is made again
}

var (
	errNotPermitted = errors.New("the kernel refuses: guard needs the capability CAP_SYS_ADMIN of the machine, which root has outside of containers")
	errNoReseed     = errors.New("this kernel has no RNDRESEEDCRNG (Linux 4.17): what it gets counts when it reseeds by itself, after a minute or more")
	errNotReady     = errors.New("the kernel's pool is not initialized yet (ENODATA), so it does not reseed")
	errUncredited   = errors.New("this kernel may not reseed from input that is not credited (Linux 5.19 or 5.10.119 do): its generator may still repeat")
)

func openKernel() (*kernel, error) {
	device, err := unix.Open("/dev/random", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: "/dev/random", Err: err}
	}
	k := &kernel{device: device, limit: ^uint64(0)}
	k.counter, k.name = probe.NewCounter(pauseIsSeen())
	return k, nil
}

func (k *kernel) close() { unix.Close(k.device) }

// pauseIsSeen reports whether the package may read the cycle counter here. It is quick: the kernel may repeat meanwhile.
func pauseIsSeen() bool {
	for _, row := range rand.Inspect(time.Microsecond) {
		if row.Name == "pause" {
			return row.Active
		}
	}
	return false
}

// measure sets how long a tick may take: eight times the fastest of eight, which is less than the shortest
// pause of a machine that was cloned (docs/pause.md).
func (k *kernel) measure(id []byte) error {
	fastest := ^uint64(0)
	var err error
	for range 8 {
		start := k.counter()
		err = k.reseedOnce(id)
		fastest = min(fastest, k.counter()-start)
	}
	k.limit = 8 * fastest
	return err
}

// once is one tick without a daemon. It measures first, so that a clone made in its tick is seen, too.
func (k *kernel) once(id []byte) error {
	if err := k.measure(id); err != nil {
		return err
	}
	_, err := k.reseed(id)
	return err
}

// reseed gives the kernel 32 fresh bytes, and the identity of this clone where that is known, and makes it reseed from
// them. If a pause fell in between, two clones may have given the same bytes: then it does all again, eight times at
// most, since a busy machine pauses, too.
//
// It returns the counter at the end of the try that counts. A clone that is made later finds a counter beyond that.
func (k *kernel) reseed(id []byte) (end uint64, err error) {
	for range 8 {
		start := k.counter()
		err = k.reseedOnce(id)
		if end = k.counter(); end-start <= k.limit {
			break
		}
	}
	return end, err
}

func (k *kernel) reseedOnce(id []byte) error {
	in := poolInfo{size: 32} // bits stays 0: no secrecy is claimed for them
	rand.Read(in.data[:32])
	in.size += int32(copy(in.data[32:], id))
	// Sound: the kernel reads size bytes behind the two words, and in is alive until the call returns.
	errno := k.ioctl(unix.RNDADDENTROPY, unsafe.Pointer(&in))
	clear(in.data[:])
	switch errno {
	case 0:
	case unix.EPERM:
		return errNotPermitted
	case unix.EINVAL, unix.ENOTTY:
		return fmt.Errorf("/dev/random is not the kernel's random generator: %w", errno)
	default:
		return fmt.Errorf("RNDADDENTROPY: %w", errno)
	}
	switch errno := k.ioctl(unix.RNDRESEEDCRNG, nil); errno {
	case 0:
		return nil
	case unix.EPERM:
		return errNotPermitted
	case unix.EINVAL, unix.ENOTTY:
		return errNoReseed
	case unix.ENODATA:
		return errNotReady
	default:
		return fmt.Errorf("RNDRESEEDCRNG: %w", errno)
	}
}

// ioctl is a raw system call, since these never block: unlike others it does not wake a thread of the Go runtime.
func (k *kernel) ioctl(request uintptr, argument unsafe.Pointer) syscall.Errno {
	for {
		_, _, errno := unix.RawSyscall(unix.SYS_IOCTL, uintptr(k.device), request, uintptr(argument))
		if errno != unix.EINTR {
			return errno
		}
	}
}

const randomFolder = "/proc/sys/kernel/random"

// takesUncredited returns errUncredited where the last reseed may have done nothing. A kernel that needs no credit shows
// a full pool for ever once that is initialized. Others show less: before they have credit, and after a reseed has used
// it. The version does not tell, since vendors mend old ones.
func takesUncredited(dir string) error {
	size, err1 := os.ReadFile(filepath.Join(dir, "poolsize"))
	credited, err2 := os.ReadFile(filepath.Join(dir, "entropy_avail"))
	if errors.Join(err1, err2) == nil && strings.TrimSpace(string(size)) != strings.TrimSpace(string(credited)) {
		return errUncredited
	}
	return nil
}

// fatal reports whether there is no use in trying again.
func fatal(err error) bool {
	return err != nil && !errors.Is(err, errNoReseed) && !errors.Is(err, errNotReady)
}
