//go:build !linux || !amd64

package rand

func stepHelper() {}
