//go:build !(cgo && openssl)

package main

func opensslPeers() []peer { return nil }
