package probe

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
)

// Image is the records of a region as they were at one instant.
type Image struct {
	Rate        uint64 // ticks of the counter per second
	CounterUsed bool   // by the generator under test
	Generation  uint64
	Logs        []LogImage
}

// LogImage is one log of an Image.
type LogImage struct {
	Name     string
	Count    uint64 // records completed, ever
	segments []segment
}

// A segment is a row of records without a hole. The last of a log may have one more, which is under way.
type segment struct {
	first   uint64
	records []Record
}

// A Record is one read.
type Record struct {
	Begin, End uint64 // the counter before and after it; End means nothing in a record under way
	Blocks     []Block
}

// A Block stands for 16 bytes that were read: it is these bytes, or in a file a hash of them.
type Block [16]byte

// Record returns record number i, or the one under way (i equal to Count), if it is kept.
func (l *LogImage) Record(i uint64) (Record, bool) {
	at, found := slices.BinarySearchFunc(l.segments, i, func(s segment, i uint64) int { return cmp.Compare(s.first, i) })
	if !found {
		at--
	}
	if at < 0 || i-l.segments[at].first >= uint64(len(l.segments[at].records)) {
		return Record{}, false
	}
	return l.segments[at].records[i-l.segments[at].first], true
}

// Parse reads a whole region, or only its header: then the logs have counts and no records.
func Parse(region []byte) (*Image, error) {
	if len(region) < HeaderSize || word(region, wordMagic) != magic || word(region, wordLogs) > maxLogs {
		return nil, fmt.Errorf("probe: no records in these %d bytes", len(region))
	}
	img := &Image{
		Rate:        word(region, wordRate),
		CounterUsed: word(region, wordCounterUsed) == 1,
		Generation:  word(region, wordGeneration),
	}
	for i := range int(word(region, wordLogs)) {
		e := region[logsAt+i*entrySize:][:entrySize]
		l := LogImage{Name: string(bytes.TrimRight(e[:nameSize], "\x00")), Count: word(e, entryCount)}
		if len(region) > HeaderSize {
			if err := l.parse(region, e); err != nil {
				return nil, err
			}
		}
		img.Logs = append(img.Logs, l)
	}
	return img, nil
}

func (l *LogImage) parse(region, entry []byte) error {
	outside := fmt.Errorf("probe: log %q reaches outside of %d bytes", l.Name, len(region))
	most := uint64(len(region))
	start, chunks, records, size := word(entry, entryStart), word(entry, entryChunks), word(entry, entryRecords), word(entry, entryBytes)
	if start > most || chunks > most || records > most || size > most {
		return outside
	}
	one := chunkHeader + records*recordSize + size
	for range chunks {
		if start+one > most {
			return outside
		}
		c := region[start:][:one]
		start += one
		first, count := word(c, chunkFirst), word(c, chunkCount)
		if first == 0 {
			continue
		}
		s := segment{first: first - 1}
		if count > records || s.first+count > l.Count+1 {
			return outside
		}
		l.Count = max(l.Count, s.first+count) // the log's own count is stored last
		if s.first+count == l.Count && count < records {
			count++ // the record under way
		}
		s.records = make([]Record, 0, count)
		for i := range count {
			w := c[chunkHeader+i*recordSize:]
			pos, n := word(w, recordPos), word(w, recordLen)
			if pos > size || n > size-pos {
				return outside
			}
			r := Record{Begin: word(w, recordBegin), End: word(w, recordEnd), Blocks: make([]Block, 0, n/16)}
			for data := c[chunkHeader+records*recordSize+pos:][:n]; len(data) >= len(Block{}); data = data[len(Block{}):] {
				r.Blocks = append(r.Blocks, Block(data))
			}
			s.records = append(s.records, r)
		}
		l.segments = append(l.segments, s)
	}
	slices.SortFunc(l.segments, func(a, b segment) int { return cmp.Compare(a.first, b.first) })
	return nil
}
