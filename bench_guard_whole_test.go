package rand

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	cryptorand "crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"testing"
	"time"
)

// BenchmarkWholeGuard compares what the standard library takes with its hook, and with the hook
// taken out, as it is in a plain program; the plain one lacks a load and a
// comparison. It needs a patched program:
//
//	clonerand go test -run '^$' -bench '^BenchmarkWholeGuard$' -benchtime 1x .
func BenchmarkWholeGuard(b *testing.B) {
	onlyByName(b, "WholeGuard")
	if stdHook.Load() == nil {
		b.Skip("the standard library is not patched: clonerand go test")
	}
	if n := testing.AllocsPerRun(1000, func() {
		var b [16]byte
		cryptorand.Read(b[:])
	}); n > 0 {
		b.Errorf("%v allocations for a buffer on the stack", n)
	}
	missed, kind := 0, kindOf(cpuName())
	for b.Loop() {
		fmt.Println()
		for _, row := range wholeRows() {
			line, ok := row.judge(kind)
			fmt.Println(line)
			if !ok {
				missed++
			}
		}
	}
	b.ReportMetric(0, "ns/op")
	if missed > 0 {
		b.Fatalf("%d rows missed", missed)
	}
}

func wholeRows() []guardRow {
	var short [16]byte
	kept := make([]byte, 16)
	return []guardRow{
		{name: "crypto/rand.Read of 16 B, hook vs none", exact: 0.50, measure: hookRatio(func() { cryptorand.Read(short[:]) })},
		// What google/uuid's NewRandom does to make one.
		{name: "io.ReadFull of crypto/rand.Reader, 16 B", exact: 1.0, measure: hookRatio(func() { io.ReadFull(cryptorand.Reader, kept) })},
		{name: "ecdsa.GenerateKey, P-256", exact: 1.05, measure: hookRatio(func() {
			ecdsa.GenerateKey(elliptic.P256(), cryptorand.Reader)
		})},
		{name: "TLS 1.3 handshake", exact: 1.05, measure: hookRatio(handshakes())},
	}
}

func hookRatio(f func()) func() (float64, string) {
	hook := stdHook.Load()
	with := func(h *func([]byte)) func(n int) {
		return func(n int) {
			stdHook.Store(h)
			defer stdHook.Store(hook)
			repeated(f)(n)
		}
	}
	return func() (float64, string) {
		t := perOp(guardRounds, roundTime, with(hook), with(nil))
		return t[0] / t[1], fmt.Sprintf("(%.4g ns, %.4g ns)", t[0], t[1])
	}
}

// handshakes are of a client and a server in one process.
func handshakes() func() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), cryptorand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotAfter: time.Unix(1<<33, 0)}
	raw, err := x509.CreateCertificate(cryptorand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	server := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{raw}, PrivateKey: key}}, SessionTicketsDisabled: true}
	client := &tls.Config{ServerName: "localhost", InsecureSkipVerify: true}
	return func() {
		near, far := net.Pipe()
		done := make(chan error)
		go func() { done <- tls.Server(far, server).Handshake() }()
		err := tls.Client(near, client).Handshake()
		if e := <-done; err != nil || e != nil {
			panic(fmt.Sprint(err, e))
		}
		near.Close()
		far.Close()
	}
}
