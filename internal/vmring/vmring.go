// Package vmring is the memory in which the guest of vmtest records its reads, and which the host
// reads from outside. It lies in the guest's RAM, so a snapshot holds it, and a restored guest
// goes on writing behind what was there.
//
// A region is a header page and then, for each log, a ring of records and a ring of bytes.
// All words are little-endian and aligned, as both guests of vmtest are.
package vmring

import (
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"unsafe"
)

const (
	// HeaderSize is the size of the header page: a copy of it alone tells how far each log is.
	HeaderSize = 4096

	magic      = 0x31676e69726d76 // "vmring1"
	logsAt     = 256              // the first log's entry in the header
	entrySize  = 64
	maxLogs    = (HeaderSize - logsAt) / entrySize
	recordSize = 40
	nameSize   = 24
)

// Words of the header.
const (
	wordMagic = iota
	wordLogs
	wordRate
	wordGeneration
	wordCounter
)

// Words of a log's entry, after its name.
const (
	entryRecords = nameSize/8 + iota // capacity, in records
	entryBytes                       // capacity, in bytes
	entryStart                       // where the records begin in the region
	entryCount                       // records completed
	entryHead                        // bytes handed out, ever
)

// Words of a record.
const (
	recordBegin = iota
	recordEnd
	recordPos // the first byte's number among all that the log has handed out
	recordLen
	recordOwn
)

// Spec describes one log.
type Spec struct {
	Name    string // at most 24 bytes
	Records int    // how many of the last records are kept
	Bytes   int    // how many of the last bytes are kept, a multiple of 16
}

// Size returns the length of a region with these logs.
func Size(specs []Spec) int {
	n := HeaderSize
	for _, s := range specs {
		n += s.Records*recordSize + s.Bytes
	}
	return n
}

// Region is the guest's side.
type Region struct {
	mem  []byte
	Logs []*Log
}

// Log is one goroutine's record of its reads from one generator. One goroutine writes it.
type Log struct {
	mem   []byte // the region
	entry int    // offset of the entry
	spec  Spec
	start int
	pos   uint64 // of the read under way
	n     int
}

// New lays out a region in mem, which is zero, 8-byte aligned and at least Size(specs) long.
func New(mem []byte, specs []Spec) (*Region, error) {
	if len(specs) > maxLogs || len(mem) < Size(specs) {
		return nil, fmt.Errorf("vmring: %d logs do not fit into %d bytes", len(specs), len(mem))
	}
	r := &Region{mem: mem}
	start := HeaderSize
	for i, s := range specs {
		l := &Log{mem: mem, entry: logsAt + i*entrySize, spec: s, start: start}
		copy(mem[l.entry:l.entry+nameSize], s.Name)
		l.set(entryRecords, uint64(s.Records))
		l.set(entryBytes, uint64(s.Bytes))
		l.set(entryStart, uint64(start))
		start += s.Records*recordSize + s.Bytes
		r.Logs = append(r.Logs, l)
	}
	store(mem, wordLogs*8, uint64(len(specs)))
	store(mem, wordMagic*8, magic)
	return r, nil
}

// SetRate records the ticks per second of the counter.
func (r *Region) SetRate(hz uint64) { store(r.mem, wordRate*8, hz) }

// SetCounterUsed records that the generator looks at the counter itself.
func (r *Region) SetCounterUsed() { store(r.mem, wordCounter*8, 1) }

// SetGeneration records what Generation returned last.
func (r *Region) SetGeneration(g uint64) { store(r.mem, wordGeneration*8, g) }

// Begin opens a record for a read of n bytes, at most the log's Bytes, and returns where they go.
// They are in one piece: what is left at the end of the ring is passed over.
func (l *Log) Begin(counter uint64, n int) []byte {
	size := uint64(l.spec.Bytes)
	l.pos, l.n = l.get(entryHead), n
	if at := l.pos % size; at+uint64(n) > size {
		l.pos += size - at
	}
	l.set(entryHead, l.pos+uint64(n))
	rec := l.record()
	store(l.mem, rec+recordBegin*8, counter)
	store(l.mem, rec+recordPos*8, l.pos)
	store(l.mem, rec+recordLen*8, uint64(n))
	at := l.start + l.spec.Records*recordSize + int(l.pos%size)
	return l.mem[at : at+n : at+n]
}

// End completes the record that Begin opened. own is the generator's own last reading of the counter in
// this read, 0 where it has none.
func (l *Log) End(counter, own uint64) {
	rec := l.record()
	store(l.mem, rec+recordEnd*8, counter)
	store(l.mem, rec+recordOwn*8, own)
	l.set(entryCount, l.get(entryCount)+1)
}

// Count is how many records are complete. Any goroutine may ask.
func (l *Log) Count() uint64 {
	return atomic.LoadUint64((*uint64)(unsafe.Pointer(&l.mem[l.entry+entryCount*8]))) // sound as in store
}

func (l *Log) record() int {
	return l.start + int(l.get(entryCount)%uint64(l.spec.Records))*recordSize
}

func (l *Log) get(word int) uint64    { return binary.LittleEndian.Uint64(l.mem[l.entry+word*8:]) }
func (l *Log) set(word int, v uint64) { store(l.mem, l.entry+word*8, v) }

// store is one aligned store: a snapshot between two instructions holds the old word or the new,
// and the words in the order in which they were written.
func store(mem []byte, at int, v uint64) {
	// Sound: the slice expression checks that the eight bytes are there, New asks for an aligned mem,
	// and every offset is a multiple of eight.
	atomic.StoreUint64((*uint64)(unsafe.Pointer(&mem[at : at+8][0])), v)
}
