package vmring

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// Image is the host's side: a region as it was at one instant.
type Image struct {
	Rate        uint64 // ticks of the counter per second
	CounterUsed bool   // by the generator under test
	Generation  uint64
	Logs        []LogImage
}

// LogImage is one log of an Image.
type LogImage struct {
	Name  string
	Count uint64 // records completed, ever
	head  uint64
	recs  []byte
	data  []byte
}

// Record is one read.
type Record struct {
	Index      uint64 // its number in the log
	Begin, End uint64 // the counter before and after it; End means nothing in a record under way
	Own        uint64 // the generator's own last reading, or 0
	Pos        uint64 // of its first byte among all of the log
	Data       []byte // nil when it is overwritten, in part or whole
}

// HasOwn says whether Own was read in this read; it may be left from an earlier one.
func (r Record) HasOwn() bool { return r.Own-r.Begin <= r.End-r.Begin }

// Last is the last reading of the counter that decided on the bytes: the generator's own if it has one,
// or else the one after the read.
func (r Record) Last() uint64 {
	if r.HasOwn() {
		return r.Own
	}
	return r.End
}

// Parse reads a whole region, or only its header: then the logs have counts and no records.
func Parse(region []byte) (*Image, error) {
	if len(region) < HeaderSize || word(region, wordMagic) != magic || word(region, wordLogs) > maxLogs {
		return nil, fmt.Errorf("vmring: no region of the guest in these %d bytes", len(region))
	}
	img := &Image{
		Rate:        word(region, wordRate),
		CounterUsed: word(region, wordCounter) == 1,
		Generation:  word(region, wordGeneration),
	}
	for i := range int(word(region, wordLogs)) {
		e := region[logsAt+i*entrySize:][:entrySize]
		l := LogImage{
			Name:  string(bytes.TrimRight(e[:nameSize], "\x00")),
			Count: word(e, entryCount),
			head:  word(e, entryHead),
		}
		if len(region) > HeaderSize {
			start, records, size := word(e, entryStart), word(e, entryRecords), word(e, entryBytes)
			end := start + records*recordSize + size
			if start > uint64(len(region)) || records > uint64(len(region)) || size > uint64(len(region)) ||
				end > uint64(len(region)) || records == 0 || size == 0 {
				return nil, fmt.Errorf("vmring: log %q reaches outside of %d bytes", l.Name, len(region))
			}
			l.recs = region[start:][:records*recordSize]
			l.data = region[start+records*recordSize:][:size]
		}
		img.Logs = append(img.Logs, l)
	}
	return img, nil
}

// Record returns record i, which is one of the last that the ring keeps, or the one under way
// (i equal to Count).
func (l *LogImage) Record(i uint64) (Record, error) {
	capacity := uint64(len(l.recs)) / recordSize
	// The slot of the record under way belonged to the oldest.
	if i > l.Count || i+capacity <= l.Count {
		return Record{}, fmt.Errorf("vmring: %s: record %d of %d is overwritten", l.Name, i, l.Count)
	}
	w := l.recs[i%capacity*recordSize:]
	r := Record{
		Index: i,
		Begin: word(w, recordBegin), End: word(w, recordEnd), Own: word(w, recordOwn),
		Pos: word(w, recordPos),
	}
	n, size := word(w, recordLen), uint64(len(l.data))
	at := r.Pos % size
	if n > size || at+n > size {
		return Record{}, fmt.Errorf("vmring: %s: record %d reaches outside of its log", l.Name, i)
	}
	if l.head-r.Pos <= size {
		r.Data = l.data[at : at+n]
	}
	return r, nil
}

// Oldest is the number of the oldest record still kept.
func (l *LogImage) Oldest() uint64 {
	capacity := uint64(len(l.recs)) / recordSize
	if l.Count < capacity {
		return 0
	}
	return l.Count - capacity + 1
}

func word(b []byte, i int) uint64 { return binary.LittleEndian.Uint64(b[i*8:]) }
