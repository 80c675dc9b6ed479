package rand_test

import (
	"crypto/ed25519"
	cryptorand "crypto/rand"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"os"
	"sync"

	"github.com/clonerand/rand"
)

func ExampleRead() {
	key := make([]byte, 32)
	rand.Read(key) // no error to look at: where it could not fill key the program would have ended
	fmt.Println(len(key))
	// Output: 32
}

// Put the Reader where the rest of the program takes its randomness from. In the
// main package a line
//
//	//go:debug cryptocustomrand=1
//
// is needed as well, since Go 1.26 ignores the reader in many functions.
// docs/replace.md has the table.
func Example_replace() {
	defer func(r io.Reader) { cryptorand.Reader = r }(cryptorand.Reader) // for this example only

	cryptorand.Reader = rand.Reader

	fmt.Println(len(cryptorand.Text()) >= 26)
	// Output: true
}

// A worker was told by its supervisor that it was restored from a snapshot, and what
// its name is now. The name need not be secret; it makes this worker different
// from its siblings even if nothing else does.
func ExampleReseed() {
	instance := "worker-17/2026-11-25T09:00:00Z"
	if err := rand.Reseed([]byte(instance)); err != nil {
		// The entropy source failed. Nothing that was kept leaves the generator, and
		// the next Read tries again.
		fmt.Println(err)
		return
	}
	// Every Read that starts now, in any goroutine, is of a state with fresh entropy and this name.
	token := rand.Text()
	fmt.Println(len(token) >= 26)
	// Output: true
}

// A program that is about to have itself snapshotted drops what the generator keeps,
// so that the image holds no output that its clones will hand out. It draws nothing;
// each clone seeds itself at its first Read.
func ExampleDeplete() {
	snapshot := func() {} // asks the hypervisor

	rand.Deplete()
	snapshot()
	nonce := make([]byte, 12)
	rand.Read(nonce)
	fmt.Println(len(nonce))
	// Output: 12
}

// For the few keys of a certificate authority every Read is to have entropy of its
// own, so that whoever learns the state before learns nothing of the key. It costs
// about a microsecond a Read; a Generator spares the rest of the program that.
func ExampleSetPredictionResistance() {
	if err := rand.SetPredictionResistance(true); err != nil {
		fmt.Println(err)
		return
	}
	defer rand.SetPredictionResistance(false)

	seed := make([]byte, ed25519.SeedSize)
	rand.Read(seed)
	root := ed25519.NewKeyFromSeed(seed)
	fmt.Println(len(root))
	// Output: 64
}

// A personalization keeps the generators of one device apart from those of all others
// even if their entropy sources should give the same (SP 800-90A, 8.7.1).
func ExampleNew() {
	host, err := os.Hostname()
	if err != nil {
		fmt.Println(err)
		return
	}
	g, err := rand.New(&rand.Config{
		Personalization: []byte("session keys of " + host),
	})
	if err != nil {
		fmt.Println(err) // an entropy source that fails makes no generator
		return
	}
	key := make([]byte, 32)
	n, err := g.Read(key)
	fmt.Println(n, err)
	// Output: 32 <nil>
}

// sessionIDs are made ahead, since they are needed at once. A clone of the process
// has the same ones in its memory, and must not use them.
type sessionIDs struct {
	mu         sync.Mutex
	generation uint64
	ready      []string
}

// take returns an ID, and drops all that were made in another generation. It looks
// at the generation after it has taken one: what is noticed by then is counted.
func (s *sessionIDs) take() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if len(s.ready) == 0 {
			s.generation = rand.Generation() // before the first is made
			for range 100 {
				s.ready = append(s.ready, rand.Text())
			}
		}
		id := s.ready[0]
		s.ready = s.ready[1:]
		if rand.Generation() == s.generation {
			return id
		}
		s.ready = nil
	}
}

// What a program drew and keeps is out of reach of this package. Generation tells
// when to drop it: it changes with each fork that is noticed, and with each
// clone that a signal tells of (VMClock, SysGenID, a generation file).
//
// It does not count pauses. Every clone is a pause, but few pauses are clones, so
// they make Reads fresh and nothing else. On a machine without a signal a restored
// snapshot therefore leaves Generation as it was, and this pool is not dropped.
// Where that can happen do not keep such a pool: draw each ID when it is needed.
// The same goes for a counter of nonces, which no number here makes safe; draw
// a nonce, or a key, from the Reader for each message.
func ExampleGeneration() {
	pool := new(sessionIDs)
	first, second := pool.take(), pool.take()
	fmt.Println(first != second, len(pool.ready))
	// Output: true 98
}

// A cache that a clone must not share is emptied in it.
func ExampleOnClone() {
	stop := rand.OnClone(func(generation uint64) {
		// Close idle connections, throw session tickets away.
	})
	fmt.Println(stop(), stop())
	// Output: true false
}

func ExampleSource() {
	r := mathrand.New(rand.Source{})
	deck := r.Perm(52)
	fmt.Println(len(deck))
	// Output: 52
}
