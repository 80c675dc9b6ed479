package main

import (
	"bytes"
	cryptorand "crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	"math/big"
	"net"
	"time"
)

var (
	identity = tls.Certificate{
		Certificate: [][]byte{must(certificate(cryptorand.Reader, big.NewInt(1)))},
		PrivateKey:  ecKey,
	}
	hello     = must(clientHello(nil))
	helloP256 = must(clientHello(nil, tls.CurveP256))
)

// clientHello is the first message of a client: its random, its session ID and its
// key shares.
func clientHello(r io.Reader, curves ...tls.CurveID) ([]byte, error) {
	c := new(script)
	return c.sent(tls.Client(c, &tls.Config{Rand: r, ServerName: "localhost", CurvePreferences: curves}))
}

// serverFlight is all that a server says before it has to hear from the client
// again: its random, its key share and, under a key that follows from these, its
// signature.
func serverFlight(r io.Reader, hello []byte, curves ...tls.CurveID) ([]byte, error) {
	c := new(script)
	c.in.Write(hello)
	flight, err := c.sent(tls.Server(c, &tls.Config{Rand: r, Certificates: []tls.Certificate{identity}, CurvePreferences: curves}))
	if err == nil && len(flight) < len(identity.Certificate[0]) {
		err = errors.New("the server asked for another hello")
	}
	return flight, err
}

// script is a connection whose other end said all at once what it has to say.
type script struct {
	net.Conn // nil: what is not here is not called
	in, out  bytes.Buffer
}

func (s *script) Read(b []byte) (int, error)       { return s.in.Read(b) }
func (s *script) Write(b []byte) (int, error)      { return s.out.Write(b) }
func (s *script) SetWriteDeadline(time.Time) error { return nil }
func (s *script) Close() error                     { return nil }

func (s *script) sent(c *tls.Conn) ([]byte, error) {
	if err := c.Handshake(); !errors.Is(err, io.EOF) {
		return nil, err
	}
	return s.out.Bytes(), nil
}
