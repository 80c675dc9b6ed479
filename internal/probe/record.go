// Package probe records what random generators return while the machine may be cloned, and finds what
// two clones have in common. The command clonerand probe and the guests of vmtest both use it.
//
// The records lie in one region of memory, so a snapshot of the machine holds them, and a restored machine goes on
// writing behind what was there. A host can read the region from outside.
package probe

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sync/atomic"
	"unsafe"
)

// A region is a header page and then, for each log, its chunks. A chunk is a header, a list of records and the
// bytes of these records. All words are little-endian and aligned.
const (
	// HeaderSize is the size of the header page. A copy of it alone tells how far each log is.
	HeaderSize = 4096

	magic       = 0x3165626f7270 // "probe1"
	logsAt      = 256            // the first log's entry in the header
	entrySize   = 64
	maxLogs     = (HeaderSize - logsAt) / entrySize
	nameSize    = 24
	chunkHeader = 16
	recordSize  = 32
)

// Words of the header.
const (
	wordMagic = iota
	wordLogs
	wordRate
	wordGeneration
	wordCounterUsed
)

// Words of a log's entry, after its name.
const (
	entryStart   = nameSize/8 + iota // where the chunks begin in the region
	entryChunks                      // how many
	entryRecords                     // in each chunk, at most
	entryBytes                       // in each chunk, at most
	entryCount                       // records completed
)

// Words of a chunk's header.
const (
	chunkFirst = iota // the number of its first record plus 1; 0 in an empty chunk
	chunkCount        // records completed
)

// Words of a record.
const (
	recordBegin = iota // the counter before the read
	recordEnd          // and after it
	recordPos          // of its first byte, in its chunk
	recordLen
)

// Spec describes one log.
type Spec struct {
	Name    string // at most 24 bytes
	Chunks  int    // 4 or more; a gap needs up to After + 2
	Records int    // in each chunk
	Bytes   int    // in each chunk, a multiple of 16
	After   int    // how many chunks after the longest gaps are kept
}

func (s Spec) chunkSize() int { return chunkHeader + s.Records*recordSize + s.Bytes }

// Size returns the length of a region with these logs.
func Size(specs []Spec) int {
	n := HeaderSize
	for _, s := range specs {
		n += s.Chunks * s.chunkSize()
	}
	return n
}

// Region is the memory of the one who records.
type Region struct {
	mem  []byte
	Logs []*Log
}

// Log records the reads of one goroutine from one generator. Only this goroutine may write it.
type Log struct {
	spec   Spec
	entry  []byte // of the header
	chunks []byte
	worth  []worth // of each chunk
	now    int     // the chunk that is being filled
	before int     // the one before it
	recent []uint64
	count  uint64
	used   int    // bytes of the chunk
	last   uint64 // the counter at the end of the last record
	gap    uint64 // the longest in the chunk that is being filled

	longest, ended atomic.Uint64 // the longest of all gaps, and the counter at its end
}

// worth is why a chunk is kept: by the longest gap that it belongs to, or else by age.
type worth struct{ gap, turn uint64 }

// New lays out a region in mem, which is zero, 8-byte aligned and at least Size(specs) long.
func New(mem []byte, specs []Spec) (*Region, error) {
	if len(specs) > maxLogs || len(mem) < Size(specs) {
		return nil, fmt.Errorf("probe: %d logs do not fit into %d bytes", len(specs), len(mem))
	}
	r := &Region{mem: mem}
	start := HeaderSize
	for i, s := range specs {
		l := &Log{
			spec: s, entry: mem[logsAt+i*entrySize:][:entrySize], chunks: mem[start:][:s.Chunks*s.chunkSize()],
			worth: make([]worth, s.Chunks), recent: make([]uint64, s.After+1),
		}
		copy(l.entry[:nameSize], s.Name)
		store(l.entry, entryStart, uint64(start))
		store(l.entry, entryChunks, uint64(s.Chunks))
		store(l.entry, entryRecords, uint64(s.Records))
		store(l.entry, entryBytes, uint64(s.Bytes))
		store(l.chunk(0), chunkFirst, 1)
		start += len(l.chunks)
		r.Logs = append(r.Logs, l)
	}
	store(mem, wordLogs, uint64(len(specs)))
	store(mem, wordMagic, magic)
	return r, nil
}

// SetRate records the ticks per second of the counter.
func (r *Region) SetRate(hz uint64) { store(r.mem, wordRate, hz) }

// SetCounterUsed records that the generator under test looks at the counter itself.
func (r *Region) SetCounterUsed() { store(r.mem, wordCounterUsed, 1) }

// SetGeneration records what Generation returned last.
func (r *Region) SetGeneration(g uint64) { store(r.mem, wordGeneration, g) }

// Image is a copy of the region. Nobody may be writing to it.
func (r *Region) Image() (*Image, error) { return Parse(r.mem) }

// Begin opens a record for a read of n bytes, at most the Bytes of the Spec, and returns where they go.
func (l *Log) Begin(counter uint64, n int) []byte {
	c := l.chunk(l.now)
	at := int(word(c, chunkCount))
	if at == l.spec.Records || l.used+n > l.spec.Bytes {
		l.next()
		c, at = l.chunk(l.now), 0
	}
	rec := c[chunkHeader+at*recordSize:]
	store(rec, recordBegin, counter)
	store(rec, recordPos, uint64(l.used))
	store(rec, recordLen, uint64(n))
	b := c[chunkHeader+l.spec.Records*recordSize+l.used:][:n:n]
	l.used += n
	return b
}

// End completes the record that Begin opened.
func (l *Log) End(counter uint64) {
	c := l.chunk(l.now)
	at := word(c, chunkCount)
	store(c[chunkHeader+at*recordSize:], recordEnd, counter)
	// A counter that went back is a gap of nearly 2^64.
	if gap := counter - l.last; l.count > 0 && gap > l.gap {
		l.gap = gap
		if gap > l.longest.Load() {
			l.longest.Store(gap)
			l.ended.Store(counter)
		}
	}
	l.last = counter
	store(c, chunkCount, at+1)
	l.count++
	store(l.entry, entryCount, l.count)
}

// Count returns how many records are complete. Any goroutine may ask.
func (l *Log) Count() uint64 {
	return atomic.LoadUint64((*uint64)(unsafe.Pointer(&l.entry[entryCount*8]))) // sound as in store
}

// LongestGap returns the longest gap between two records so far, and the counter at its end. Any goroutine may ask.
func (l *Log) LongestGap() (end, gap uint64) { return l.ended.Load(), l.longest.Load() }

// next goes on in the chunk that is least worth keeping. A gap keeps the chunk that it ended in, the one before, since
// its last record may be the last before the gap, and After chunks that follow.
func (l *Log) next() {
	turn := l.worth[l.now].turn
	l.recent[turn%uint64(len(l.recent))] = l.gap
	l.worth[l.now].gap = slices.Max(l.recent)
	l.worth[l.before].gap = max(l.worth[l.before].gap, l.gap)
	l.before, l.now = l.now, l.least()
	l.worth[l.now] = worth{turn: turn + 1}
	l.used, l.gap = 0, 0
	c := l.chunk(l.now)
	store(c, chunkFirst, 0)
	store(c, chunkCount, 0)
	store(c, chunkFirst, l.count+1)
}

// least returns an empty chunk, or else the oldest of those with the shortest gap, but never the last one: a gap may
// follow it.
func (l *Log) least() int {
	if free := int(l.worth[l.now].turn) + 1; free < l.spec.Chunks {
		return free
	}
	least := -1
	for i, w := range l.worth {
		if i != l.now && (least < 0 || w.gap < l.worth[least].gap ||
			w.gap == l.worth[least].gap && w.turn < l.worth[least].turn) {
			least = i
		}
	}
	return least
}

func (l *Log) chunk(i int) []byte { return l.chunks[i*l.spec.chunkSize():][:l.spec.chunkSize()] }

func word(b []byte, i int) uint64 { return binary.NativeEndian.Uint64(b[i*8:]) }

// store is one aligned store: a snapshot between two instructions holds the old word or the new,
// and the words in the order in which they were written.
func store(b []byte, i int, v uint64) {
	// Sound: the slice expression checks that the eight bytes are there, New asks for an aligned mem, and
	// every offset is a multiple of eight.
	atomic.StoreUint64((*uint64)(unsafe.Pointer(&b[i*8 : i*8+8][0])), v)
}
