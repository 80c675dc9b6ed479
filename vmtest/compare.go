package main

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/clonerand/rand/internal/vmring"
)

// finding is what the comparison of clones says about one generator.
type finding struct {
	generator string
	counter   bool          // the generator under test used the counter
	told      bool          // Generation moved in every clone
	reads     int           // after the restore, of the clone with the fewest
	equal     int           // blocks that are not the first of their value, among all clones
	shortest  time.Duration // how far the counter moved over the pause, in the clone and on the CPU
	longest   time.Duration // where it moved least and most
}

// and is what two snapshots have shown together.
func (f finding) and(g finding) finding {
	f.reads = min(f.reads, g.reads)
	f.equal += g.equal
	f.told = f.told && g.told
	f.shortest = min(f.shortest, g.shortest)
	f.longest = max(f.longest, g.longest)
	return f
}

type block [16]byte

const (
	// largest is the largest Read that package rand makes as a whole. What a larger one had delivered before
	// the pause is in all clones, as it would be in reads of its own.
	largest = 1 << 10

	// generate is what a large Read draws fresh bytes for where no counter can be used. What is under
	// way is in all clones then, as it is with crypto/rand.
	generate = 64 << 10
)

// errOverwritten says that the host came too late: it says nothing about the generators.
var errOverwritten = errors.New("the first reads after the restore are overwritten")

// compare looks for equal blocks in the reads that ended after the restore. before is the image
// from which the clones come, or nil where nobody could take one; then a read that was under way does not
// count.
func compare(before *vmring.Image, clones []*vmring.Image) ([]finding, error) {
	var found []finding
	index := map[string]int{}
	seen := map[string]map[block]bool{}
	reads := map[string][]int{}
	for i := range clones[0].Logs {
		name := clones[0].Logs[i].Name
		if seen[name] == nil {
			seen[name] = map[block]bool{}
			reads[name] = make([]int, len(clones))
			index[name] = len(found)
			found = append(found, finding{generator: name, counter: clones[0].CounterUsed})
		}
		f := &found[index[name]]
		logs := make([]*vmring.LogImage, len(clones))
		for k, c := range clones {
			logs[k] = &c.Logs[i]
		}
		place, err := restoredAt(logs)
		if err != nil {
			return nil, err
		}
		// What the counters say and what the host saw must agree: the read under way in the snapshot is the
		// first that ended later, or the one after, where it had its last reading already.
		from := place
		var old *vmring.LogImage
		if before == nil {
			from++
		} else if old = &before.Logs[i]; place != old.Count && place != old.Count+1 {
			return nil, fmt.Errorf("%s: by the counters the restore is at read %d, but the snapshot held %d",
				name, place, old.Count)
		}
		for k, l := range logs {
			for n := from; n < l.Count; n++ {
				r, err := l.Record(n)
				if err != nil {
					return nil, err
				}
				if r.Data == nil {
					return nil, fmt.Errorf("%w: %s: %d of %d", errOverwritten, name, n-place, l.Count-place)
				}
				at, err := settled(old, r, clones[0].CounterUsed)
				if err != nil {
					return nil, err
				}
				for ; at+16 <= len(r.Data); at += 16 {
					b := block(r.Data[at:])
					if seen[name][b] {
						f.equal++
					}
					seen[name][b] = true
				}
				reads[name][k]++
			}
			pause, err := moved(l, place, clones[0].Rate)
			if err != nil {
				return nil, err
			}
			f.longest = max(f.longest, pause)
			if f.shortest == 0 || pause < f.shortest {
				f.shortest = pause
			}
		}
	}
	for i := range found {
		counts := reads[found[i].generator]
		found[i].reads = counts[0]
		for _, n := range counts {
			found[i].reads = min(found[i].reads, n)
		}
	}
	return found, nil
}

// restoredAt returns the number of the first read that ended after the restore. Until then the
// counter's values are the same in all clones.
func restoredAt(logs []*vmring.LogImage) (uint64, error) {
	var oldest uint64
	least := logs[0].Count
	for _, l := range logs {
		oldest = max(oldest, l.Oldest())
		least = min(least, l.Count)
	}
	for n := oldest; n < least; n++ {
		var first uint64
		for k, l := range logs {
			r, err := l.Record(n)
			if err != nil {
				return 0, err
			}
			if k == 0 {
				first = r.Last()
			}
			if r.Last() == first {
				continue
			}
			if n == oldest && n > 0 {
				return 0, fmt.Errorf("%w: %s", errOverwritten, l.Name)
			}
			return n, nil
		}
	}
	return 0, errors.New("the clones do not differ in one reading of the counter: virtual time, or no restore")
}

// settled returns how many bytes at the start of the read r do not count, since it was under way in the
// snapshot, and they were settled by then. None are in a small read with a reading of its own, which says
// whether it was done.
func settled(before *vmring.LogImage, r vmring.Record, counterUsed bool) (int, error) {
	if before == nil || r.Index != before.Count || r.HasOwn() && len(r.Data) <= largest {
		return 0, nil
	}
	old, err := before.Record(r.Index)
	if err != nil || old.Begin != r.Begin || old.Pos != r.Pos {
		return 0, err
	}
	n := 0
	for n+16 <= len(r.Data) && bytes.Equal(old.Data[n:n+16], r.Data[n:n+16]) {
		n += 16
	}
	switch {
	case counterUsed:
		return n, nil
	case len(r.Data) <= largest:
		return len(r.Data), nil
	default:
		return min((n/generate+1)*generate, len(r.Data)), nil
	}
}

// moved is how far the counter went from the last read before the restore to the end of the first
// after; it may have gone back.
func moved(l *vmring.LogImage, place, rate uint64) (time.Duration, error) {
	if place == 0 || rate == 0 {
		return 0, nil
	}
	last, err := l.Record(place - 1)
	if err != nil {
		return 0, err
	}
	first, err := l.Record(place)
	if err != nil {
		return 0, err
	}
	return time.Duration(float64(int64(first.End-last.End)) / float64(rate) * float64(time.Second)), nil
}
