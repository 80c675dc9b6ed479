package rand_test

import (
	"fmt"
	"sync"

	"github.com/clonerand/rand"
)

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
