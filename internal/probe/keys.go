package probe

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/mlkem"
	"crypto/rand"
	"crypto/sha256"
)

// Keys returns generators of keys, as TLS makes them. A block is the hash of a public key.
func Keys() []Generator {
	return []Generator{
		{"mlkem.GenerateKey768", func() (func([]byte) error, error) {
			return func(b []byte) error {
				k, err := mlkem.GenerateKey768()
				if err != nil {
					return err
				}
				return hashInto(b, k.EncapsulationKey().Bytes())
			}, nil
		}},
		{"ecdsa.GenerateKey", func() (func([]byte) error, error) {
			return func(b []byte) error {
				k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
				if err != nil {
					return err
				}
				public, err := k.PublicKey.Bytes()
				if err != nil {
					return err
				}
				return hashInto(b, public)
			}, nil
		}},
	}
}

// hashInto fills b, and differs in each block of it.
func hashInto(b, key []byte) error {
	for sum := sha256.Sum256(key); len(b) > 0; sum = sha256.Sum256(sum[:]) {
		b = b[copy(b, sum[:16]):]
	}
	return nil
}
