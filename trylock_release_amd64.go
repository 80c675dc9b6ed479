//go:build !race

package rand

// storeRelease stores x after everything before it. On amd64 any store does (Intel
// SDM volume 3, 10.2.2: stores are not reordered with earlier loads or stores),
// while sync/atomic's is an XCHG, which costs a fifth of a small Read.
//
//go:noescape
func storeRelease(p *uint64, x uint64)
