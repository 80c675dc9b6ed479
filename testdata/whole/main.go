// Command whole draws through the standard library in many ways, and prints as JSON what of it
// went through the hook of a patched one.
package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/fips140"
	"crypto/mlkem"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
	_ "unsafe" // for go:linkname

	clonerand "github.com/clonerand/rand"
	"github.com/clonerand/rand/testdata/whole/early"
)

// hook is where a patched standard library looks for its source.
//
//go:linkname hook github.com/clonerand/rand.stdHook
var hook atomic.Pointer[func(b []byte)]

type report struct {
	FIPS    bool
	Early   int64            // draws while the packages were initialized
	Drawn   map[string]int64 // by what, how many times the hook was called
	Curve   string           // of the TLS handshake
	Version string           // of TLS
	Std     clonerand.Protection
	Forked  string // "differ", or why it is not known
}

// As a C library it has no main function that anybody calls.
func init() {
	if os.Getenv("CLONERAND_TEST_LIBRARY") != "" {
		main()
		os.Exit(0)
	}
}

func main() {
	r := report{FIPS: fips140.Enabled(), Early: early.Stop(), Drawn: make(map[string]int64)}
	firstUse() // before anything counts
	calls := countHook()
	count := func(what string, f func() error) {
		before := calls.Load()
		check(f())
		r.Drawn[what] = calls.Load() - before
	}
	var b [16]byte
	count("rand", func() error { _, err := rand.Read(b[:]); return err })
	count("mlkem", func() error { _, err := mlkem.GenerateKey768(); return err })
	var key *ecdsa.PrivateKey
	count("ecdsa", func() (err error) { key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); return err })
	count("tls", func() error {
		state, err := handshake(key)
		r.Curve, r.Version = state.CurveID.String(), tls.VersionName(state.Version)
		return err
	})
	for _, p := range clonerand.Inspect(0) {
		if p.Name == "standard library" {
			r.Std = p
		}
	}
	r.Forked = fork()
	check(json.NewEncoder(os.Stdout).Encode(r))
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// countHook lets the calls of the hook be counted. In a plain program there is no hook.
func countHook() *atomic.Int64 {
	calls := new(atomic.Int64)
	if of := hook.Load(); of != nil {
		counting := func(b []byte) {
			calls.Add(1)
			(*of)(b)
		}
		hook.Store(&counting)
	}
	return calls
}

// firstUse is the first use of the generator, by 10,000 goroutines at once.
func firstUse() {
	var group sync.WaitGroup
	var begin sync.RWMutex
	begin.Lock()
	var seen sync.Map
	for range 10_000 {
		group.Go(func() {
			begin.RLock()
			defer begin.RUnlock()
			var b [16]byte
			rand.Read(b[:])
			if _, twice := seen.LoadOrStore(b, true); twice {
				panic("two goroutines have the same bytes")
			}
		})
	}
	begin.Unlock()
	group.Wait()
}

// handshake is a whole one, between two goroutines, and some data.
func handshake(key *ecdsa.PrivateKey) (state tls.ConnectionState, err error) {
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotAfter: time.Unix(1<<33, 0)}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return state, err
	}
	parsed, err := x509.ParseCertificate(raw)
	if err != nil {
		return state, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(parsed)
	near, far := net.Pipe()
	server := tls.Server(far, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{raw}, PrivateKey: key}}})
	client := tls.Client(near, &tls.Config{ServerName: "localhost", RootCAs: roots})
	failed := make(chan error, 1)
	go func() {
		_, err := io.Copy(server, server)
		failed <- err
	}()
	message := []byte("one that comes back")
	if _, err = client.Write(message); err != nil {
		return state, errors.Join(err, near.Close(), <-failed)
	}
	back := make([]byte, len(message))
	if _, err = io.ReadFull(client, back); err == nil && !bytes.Equal(back, message) {
		err = errors.New("another message came back")
	}
	return client.ConnectionState(), errors.Join(err, client.CloseWrite(), <-failed)
}
