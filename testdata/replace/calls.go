package main

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hpke"
	"crypto/mlkem"
	cryptorand "crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"io"
	"math/big"
	mathrand "math/rand"
	randv2 "math/rand/v2"
	"time"
)

// A call is one use of the standard library that needs randomness.
type call struct {
	name string
	// takes says whether a caller can pass a reader. Where not, do ignores r.
	takes bool
	// stable says that the outcome does not depend on the version of Go: crypto/rand
	// or the function documents it, or our code is what draws.
	stable bool
	// do returns all that the call made of the randomness.
	do func(r io.Reader) ([]byte, error)
}

// The keys and texts that the calls work on are made before any reader is in place.
var (
	ecKey   = must(ecdsa.GenerateKey(elliptic.P256(), cryptorand.Reader))
	rsaKey  = must(rsa.GenerateKey(cryptorand.Reader, 2048))
	hpkeKey = must(hpke.DHKEM(ecdh.P256()).GenerateKey())
	edKey   = ed25519.NewKeyFromSeed(make([]byte, 32))
	digest  = sha256.Sum256([]byte("message"))
	modulus = new(big.Int).Lsh(big.NewInt(1), 256)
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

var calls = []call{
	{"crypto/rand.Read", false, true, func(io.Reader) ([]byte, error) {
		b := make([]byte, 32)
		_, err := cryptorand.Read(b)
		return b, err
	}},
	{"crypto/rand.Text", false, true, func(io.Reader) ([]byte, error) {
		return []byte(cryptorand.Text()), nil
	}},
	{"crypto/rand.Int", true, true, func(r io.Reader) ([]byte, error) {
		return number(cryptorand.Int(r, modulus))
	}},
	{"crypto/rand.Prime", true, false, func(r io.Reader) ([]byte, error) {
		return number(cryptorand.Prime(r, 256))
	}},
	{"ecdsa.GenerateKey", true, false, func(r io.Reader) ([]byte, error) {
		k, err := ecdsa.GenerateKey(elliptic.P256(), r)
		if err != nil {
			return nil, err
		}
		return k.Bytes()
	}},
	{"ecdsa.SignASN1", true, false, func(r io.Reader) ([]byte, error) {
		return ecdsa.SignASN1(r, ecKey, digest[:])
	}},
	{"ed25519.GenerateKey", true, false, func(r io.Reader) ([]byte, error) {
		_, k, err := ed25519.GenerateKey(r)
		return k, err
	}},
	{"ed25519.GenerateKey(nil)", false, false, func(io.Reader) ([]byte, error) {
		_, k, err := ed25519.GenerateKey(nil)
		return k, err
	}},
	{"(ed25519.PrivateKey).Sign", true, false, func(r io.Reader) ([]byte, error) {
		return edKey.Sign(r, []byte("message"), crypto.Hash(0))
	}},
	{"rsa.GenerateKey", true, false, func(r io.Reader) ([]byte, error) {
		k, err := rsa.GenerateKey(r, 2048)
		if err != nil {
			return nil, err
		}
		return x509.MarshalPKCS1PrivateKey(k), nil
	}},
	{"rsa.EncryptPKCS1v15", true, false, func(r io.Reader) ([]byte, error) {
		return rsa.EncryptPKCS1v15(r, &rsaKey.PublicKey, digest[:])
	}},
	{"rsa.EncryptOAEP", true, false, func(r io.Reader) ([]byte, error) {
		return rsa.EncryptOAEP(sha256.New(), r, &rsaKey.PublicKey, digest[:], nil)
	}},
	{"rsa.SignPSS", true, false, func(r io.Reader) ([]byte, error) {
		return rsa.SignPSS(r, rsaKey, crypto.SHA256, digest[:], nil)
	}},
	{"rsa.SignPKCS1v15", true, false, func(r io.Reader) ([]byte, error) {
		return rsa.SignPKCS1v15(r, rsaKey, crypto.SHA256, digest[:])
	}},
	{"(ecdh.Curve).GenerateKey, P-256", true, false, func(r io.Reader) ([]byte, error) {
		return exchangeKey(ecdh.P256().GenerateKey(r))
	}},
	{"(ecdh.Curve).GenerateKey, X25519", true, false, func(r io.Reader) ([]byte, error) {
		return exchangeKey(ecdh.X25519().GenerateKey(r))
	}},
	{"mlkem.GenerateKey768", false, false, func(io.Reader) ([]byte, error) {
		k, err := mlkem.GenerateKey768()
		if err != nil {
			return nil, err
		}
		return k.Bytes(), nil
	}},
	{"(mlkem.EncapsulationKey768).Encapsulate", false, false, func(io.Reader) ([]byte, error) {
		k, err := mlkem.NewDecapsulationKey768(make([]byte, mlkem.SeedSize))
		if err != nil {
			return nil, err
		}
		shared, sealed := k.EncapsulationKey().Encapsulate()
		return append(shared, sealed...), nil
	}},
	{"hpke.Seal", false, false, func(io.Reader) ([]byte, error) {
		return hpke.Seal(hpkeKey.PublicKey(), hpke.HKDFSHA256(), hpke.AES256GCM(), nil, digest[:])
	}},
	{"cipher.NewGCMWithRandomNonce", false, false, func(io.Reader) ([]byte, error) {
		block, err := aes.NewCipher(digest[:])
		if err != nil {
			return nil, err
		}
		gcm, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			return nil, err
		}
		return gcm.Seal(nil, nil, digest[:], nil), nil
	}},
	{"x509.CreateCertificate, serial number given", true, false, func(r io.Reader) ([]byte, error) {
		return certificate(r, big.NewInt(1))
	}},
	{"x509.CreateCertificate, none given", true, false, func(r io.Reader) ([]byte, error) {
		return certificate(r, nil)
	}},
	{"x509.CreateCertificateRequest", true, false, func(r io.Reader) ([]byte, error) {
		return x509.CreateCertificateRequest(r, new(x509.CertificateRequest), ecKey)
	}},
	{"tls client, Config.Rand set", true, false, func(r io.Reader) ([]byte, error) { return clientHello(r) }},
	{"tls client, Config.Rand nil", false, false, func(io.Reader) ([]byte, error) { return clientHello(nil) }},
	{"tls server, Config.Rand set", true, false, func(r io.Reader) ([]byte, error) { return serverFlight(r, hello) }},
	{"tls server, Config.Rand nil", false, false, func(io.Reader) ([]byte, error) { return serverFlight(nil, hello) }},
	{"tls server, without ML-KEM", true, false, func(r io.Reader) ([]byte, error) {
		return serverFlight(r, helloP256, tls.CurveP256)
	}},
	{"(*big.Int).Rand, math/rand on the Reader", true, true, func(r io.Reader) ([]byte, error) {
		return new(big.Int).Rand(mathrand.New(source{r}), modulus).Bytes(), nil
	}},
	{"math/rand/v2.New on the Reader", true, true, func(r io.Reader) ([]byte, error) {
		return binary.LittleEndian.AppendUint64(nil, randv2.New(source{r}).Uint64()), nil
	}},
	{"math/rand/v2.Uint64", false, false, func(io.Reader) ([]byte, error) {
		return binary.LittleEndian.AppendUint64(nil, randv2.Uint64()), nil
	}},
}

// source is a source of math/rand and math/rand/v2 that draws from a reader.
type source struct{ io.Reader }

func (s source) Uint64() uint64 {
	var b [8]byte
	must(io.ReadFull(s, b[:]))
	return binary.LittleEndian.Uint64(b[:])
}
func (s source) Int63() int64 { return int64(s.Uint64() >> 1) }
func (s source) Seed(int64)   {}

func number(n *big.Int, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	return n.Bytes(), nil
}

func exchangeKey(k *ecdh.PrivateKey, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	return k.Bytes(), nil
}

func certificate(r io.Reader, serial *big.Int) ([]byte, error) {
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "localhost"},
		DNSNames:     []string{"localhost"},
		NotBefore:    time.Unix(0, 0),
		NotAfter:     time.Unix(1<<33, 0),
	}
	return x509.CreateCertificate(r, template, template, ecKey.Public(), ecKey)
}
