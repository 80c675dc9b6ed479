package probe

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Finding is what the comparison of clones says about one generator.
type Finding struct {
	Generator string
	Reads     int // after the restore, of the clone with the fewest
	Equal     int // blocks that are not the first of their value, among all clones

	// In each clone, from the last read before the restore to the end of the first after it, by the counter; it may
	// have gone back.
	Pauses []time.Duration
	First  []time.Duration // what the first read took that began after the restore
	Ends   []uint64        // the counter at the end of the first read after the restore

	Early, EarlyEqual int           // the same up to the time that Split names, and not in the figures above
	Until             time.Duration // how long that was after the end of the first read, at most
}

// And is what two snapshots have shown together.
func (f Finding) And(g Finding) Finding {
	f.Reads = min(f.Reads, g.Reads)
	f.Equal += g.Equal
	f.Pauses = slices.Concat(f.Pauses, g.Pauses)
	f.First = slices.Concat(f.First, g.First)
	f.Early = max(f.Early, g.Early)
	f.EarlyEqual += g.EarlyEqual
	f.Until = max(f.Until, g.Until)
	return f
}

const (
	// largest is the largest Read that package rand makes as a whole. What a larger one had delivered before
	// the pause is in all clones, as it would be in reads of its own.
	largest = 1 << 10

	// generate is what a large Read draws fresh bytes for where no counter can be used. What is under
	// way is in all clones then, as it is with crypto/rand.
	generate = 64 << 10
)

var (
	// ErrNotKept says that the records around the restore are gone: it says nothing about the generators.
	ErrNotKept = errors.New("the first reads after the restore are not among the records that were kept: try again on a machine that does less")

	// ErrNoRestore says that the records have nothing that differs.
	ErrNoRestore = errors.New("the clones do not differ in one reading of the counter: virtual time, or no restore")

	// ErrSeveral says that the records are not of clones of one snapshot.
	ErrSeveral = errors.New("these are clones of more than one snapshot: compare those of one")
)

// Comparison finds equal blocks in what clones read after the restore.
type Comparison struct {
	// Before is the image from which the clones come, or nil where nobody could take one. Then a read of the first
	// generator that was under way does not count, as one of the others never does.
	Before *Image
	Clones []*Image
	Split  []uint64 // for each clone a counter value: reads that began before it are counted apart; or nil
}

// Run returns a finding for each generator, in the order of the logs.
func (c Comparison) Run() ([]Finding, error) {
	if len(c.Clones) < 2 {
		return nil, errors.New("one clone alone cannot be compared")
	}
	var found []Finding
	for i := range c.Clones[0].Logs {
		name := c.Clones[0].Logs[i].Name
		if slices.ContainsFunc(found, func(f Finding) bool { return f.Generator == name }) {
			continue
		}
		f, err := c.generator(name)
		if err != nil {
			return nil, fmt.Errorf("reads of %s: %w", name, err)
		}
		found = append(found, f)
	}
	return found, nil
}

// generator compares all logs of one name.
func (c Comparison) generator(name string) (Finding, error) {
	f := Finding{Generator: name}
	seen, early := map[Block]bool{}, map[Block]bool{}
	reads, earlyReads := make([]int, len(c.Clones)), make([]int, len(c.Clones))
	for i := range c.Clones[0].Logs {
		if c.Clones[0].Logs[i].Name != name {
			continue
		}
		var logs []*LogImage
		for _, clone := range c.Clones {
			if len(clone.Logs) <= i || clone.Logs[i].Name != name {
				return f, errors.New("the clones do not have the same logs")
			}
			logs = append(logs, &clone.Logs[i])
		}
		place, err := restoredAt(logs)
		if err != nil {
			return f, err
		}
		whole := beganAfter(place, logs)
		from, old, err := c.from(i, place, whole)
		if err != nil {
			return f, err
		}
		for k, l := range logs {
			for n := range l.numbers(from) {
				r, _ := l.Record(n)
				before := c.Split != nil && r.Begin < c.Split[k]
				for _, b := range r.Blocks[settled(old, n, r, c.Clones[0].CounterUsed):] {
					switch {
					case seen[b] || early[b] && !before:
						f.Equal++
					case early[b]:
						f.EarlyEqual++
					case before:
						early[b] = true
					default:
						seen[b] = true
					}
				}
				if before {
					earlyReads[k]++
				} else {
					reads[k]++
				}
			}
			f.look(c.Clones[k], l, place, whole)
			if c.Split != nil {
				r, _ := l.Record(place)
				f.Until = max(f.Until, c.Clones[k].ticks(c.Split[k]-r.End))
			}
		}
	}
	f.Reads, f.Early = slices.Min(reads), slices.Max(earlyReads)
	return f, nil
}

// beganAfter returns the first read that began after the restore, which is the one at place or the next.
func beganAfter(place uint64, logs []*LogImage) uint64 {
	first, _ := logs[0].Record(place)
	for _, l := range logs {
		if r, _ := l.Record(place); r.Begin != first.Begin {
			return place
		}
	}
	return place + 1
}

// from returns the first read that counts. For the first generator it is the one that was under way, if c.Before shows
// how much of it was there before. Otherwise it is the first whole one: a read that makes a key may have drawn all that
// it needs before.
func (c Comparison) from(log int, place, whole uint64) (from uint64, old *LogImage, err error) {
	if c.Before == nil {
		return whole, nil, nil
	}
	// What the counters say and what the host saw must agree: the read under way in the snapshot is the
	// first that ended later, or the one after, where it had its last reading already.
	old = &c.Before.Logs[log]
	if place != old.Count && place != old.Count+1 {
		return 0, nil, fmt.Errorf("by the counters the restore is at read %d, but the snapshot held %d", place, old.Count)
	}
	if old.Name != c.Before.Logs[0].Name {
		return whole, nil, nil
	}
	return place, old, nil
}

// look notes the pause and the first read after it.
func (f *Finding) look(clone *Image, l *LogImage, place, whole uint64) {
	first, _ := l.Record(place)
	f.Ends = append(f.Ends, first.End)
	if clone.Rate == 0 {
		return
	}
	if last, ok := l.Record(place - 1); ok {
		f.Pauses = append(f.Pauses, clone.ticks(first.End-last.End))
	}
	if next, ok := l.Record(whole); ok && whole < l.Count {
		f.First = append(f.First, clone.ticks(next.End-next.Begin))
	}
}

func (img *Image) ticks(n uint64) time.Duration {
	return time.Duration(float64(int64(n)) / float64(img.Rate) * float64(time.Second))
}

// numbers yields the numbers of the complete records that are kept, from n on.
func (l *LogImage) numbers(n uint64) func(func(uint64) bool) {
	return func(yield func(uint64) bool) {
		for _, s := range l.segments {
			for i := range s.records {
				if k := s.first + uint64(i); k >= n && k < l.Count && !yield(k) {
					return
				}
			}
		}
	}
}

// Restored returns the number of the first record of this log that ended after the restore of these clones.
func Restored(clones []*Image, log int) (uint64, error) {
	var logs []*LogImage
	for _, c := range clones {
		logs = append(logs, &c.Logs[log])
	}
	return restoredAt(logs)
}

// restoredAt returns the number of the first read that ended after the restore. Until then the
// counter's values are the same in all clones.
func restoredAt(logs []*LogImage) (uint64, error) {
	same, least := uint64(0), logs[0].Count // the number after the last read that is known to be the same in all
	for _, l := range logs {
		least = min(least, l.Count)
	}
	for n := range logs[0].numbers(0) {
		ends := make([]uint64, len(logs))
		all := true
		for k, l := range logs {
			r, ok := l.Record(n)
			all = all && ok && n < least
			ends[k] = r.End
		}
		switch {
		case !all:
		case slices.Max(ends) == slices.Min(ends):
			same = n + 1
		case n != same:
			return 0, ErrNotKept
		default:
			return n, oneSnapshot(logs, n)
		}
	}
	if same < least {
		return 0, ErrNotKept
	}
	return 0, ErrNoRestore
}

// oneSnapshot reports by ErrSeveral that two of the clones go on alike after the others have parted.
func oneSnapshot(logs []*LogImage, place uint64) error {
	const reads = 8 // which clones of one snapshot do not end at the same counter values
	for k, a := range logs {
		for _, b := range logs[:k] {
			alike := 0
			for n := place; n < place+reads; n++ {
				r, inA := a.Record(n)
				s, inB := b.Record(n)
				if inA && inB && n < min(a.Count, b.Count) && r.End == s.End {
					alike++
				}
			}
			if alike == reads {
				return ErrSeveral
			}
		}
	}
	return nil
}

// settled returns how many blocks at the start of the read r, number n, do not count, since it was under way in the
// snapshot, and they were settled by then.
func settled(before *LogImage, n uint64, r Record, counterUsed bool) int {
	if before == nil || n != before.Count {
		return 0
	}
	old, ok := before.Record(n)
	if !ok || old.Begin != r.Begin || len(old.Blocks) != len(r.Blocks) {
		return 0
	}
	same := 0
	for same < len(r.Blocks) && old.Blocks[same] == r.Blocks[same] {
		same++
	}
	const block = len(Block{})
	switch {
	case counterUsed:
		return same
	case len(r.Blocks) <= largest/block:
		return len(r.Blocks)
	default:
		return min((same/(generate/block)+1)*(generate/block), len(r.Blocks))
	}
}
