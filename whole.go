package rand

import (
	cryptorand "crypto/rand"
	"io"
	"os"
	"runtime/debug"
	"strings"
	"sync/atomic"
)

// The two ends of a patched standard library, see docs/whole.md. They are plain
// variables: the linkname directives are on the other side, in the file that
// cmd/clonerand adds to crypto/internal/sysrand. In a plain build nobody else knows them.
var (
	// stdHook is what every random byte of package crypto comes from, once it is stored.
	stdHook atomic.Pointer[func(b []byte)]

	// stdSystem draws from the operating system, as Read did before the patch. The linker
	// sets it, so it is there before any package is initialized. It does not return when it fails.
	stdSystem func(b []byte)
)

// systemReader is where seeding draws from the operating system. It must not come
// back to us, neither through the hook nor through a crypto/rand.Reader that somebody has
// replaced by ours. So it is taken when variables are initialized, and the hook is stored
// later, by init.
var systemReader = newSystemReader(stdSystem)

func newSystemReader(std func(b []byte)) io.Reader {
	if std == nil {
		return cryptoReader
	}
	return systemFunc(std)
}

// systemFunc is a Reader of a function that cannot fail.
type systemFunc func(b []byte)

func (f systemFunc) Read(b []byte) (n int, err error) {
	f(b)
	return len(b), nil
}

// init stores the hook. This is the last step of initializing the package: goroutines of
// packages that were initialized before may draw at the same time.
func init() {
	if stdSystem != nil {
		stdHook.Store(&ourHook)
	}
}

// readForStd is the hook. It asks the default generator, whatever Reader is now, and
// keeps no reference to b.
func readForStd(b []byte) { defaultReader.read(b, true) }

var ourHook = readForStd

// inspectStd reports whether what the standard library draws comes from here.
func inspectStd() Protection {
	p := Protection{Name: "standard library"}
	godebug := os.Getenv("GODEBUG")
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "DefaultGODEBUG" { // what go.mod and //go:debug lines say; the environment outranks it
				godebug = s.Value + "," + godebug
			}
		}
	}
	return p.judgeStd(stdHook.Load() != nil, asksHook, cryptorand.Reader, godebug)
}

// asksHook reports whether crypto/rand draws from the hook, by drawing a byte. It does not in programs with BoringCrypto,
// nor with OpenSSL in its place, as in releases of Go by others. It has no lock that a fork could leave held.
func asksHook() bool {
	own := stdHook.Load()
	if own == &countingHook { // of another call
		own = &ourHook
	}
	defer stdHook.CompareAndSwap(&countingHook, own)
	for {
		stdHook.CompareAndSwap(own, &countingHook)
		before := hookAsked.Load()
		var b [1]byte
		cryptorand.Read(b[:])
		if hookAsked.Load() != before {
			return true
		}
		if stdHook.Load() != own { // or else another call has taken the counting one out
			return false
		}
	}
}

// countingHook takes the place of the hook while asksHook looks.
var (
	countingHook = func(b []byte) { hookAsked.Add(1); readForStd(b) }
	hookAsked    atomic.Uint64
)

func (p Protection) judgeStd(hooked bool, asked func() bool, reader io.Reader, godebug string) Protection {
	ours := reader == io.Reader(defaultReader)
	switch {
	case !hooked && ours:
		p.Detail = "partly: crypto/rand.Reader is this package's"
		p.Mend = "clonerand go build patches the standard library of a program, so that all of it draws from here"
	case !hooked:
		p.Detail = "it draws from the operating system, or in FIPS mode from a generator of its own"
		p.Mend = "clonerand go build patches the standard library of a program, so that it draws from here"
	case !ours && !isSystem(reader):
		p.Detail = "partly: it is patched, but crypto/rand.Reader was replaced"
		p.Mend = "leave crypto/rand.Reader as it is"
	case !ours && !asked():
		p.Detail = "partly: it is patched, but crypto/rand draws from BoringCrypto, OpenSSL or another library"
		p.Mend = "build without GOEXPERIMENT=boringcrypto, with the Go of go.dev"
	case godebugSays(godebug, "cryptocustomrand=1"):
		p.Detail = "partly: it is patched, but functions honour any reader that they are given"
		p.Mend = "leave out the GODEBUG setting cryptocustomrand=1"
	default:
		p.Active, p.Detail = true, "patched: all of package crypto draws from here"
	}
	return p
}

// godebugSays reports whether a setting is the last of its name in a list.
func godebugSays(list, setting string) bool {
	name, _, _ := strings.Cut(setting, "=")
	says := false
	for s := range strings.SplitSeq(list, ",") {
		if strings.HasPrefix(s, name+"=") {
			s, _, _ = strings.Cut(s, "#") // a suffix for go test, as in netdns=go#1
			says = s == setting
		}
	}
	return says
}
