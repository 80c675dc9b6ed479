package probe

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// File is what one run of the probe leaves behind, as gzipped JSON. Of each block of 16 bytes it has the first 8
// bytes of its SHA-256.
type File struct {
	Format  string    // formatName
	Run     string    // drawn when the run began: clones have the same
	Version string    // of the command
	Machine Machine   // when the run began
	Started time.Time // by the clock of the machine
	Ended   time.Time
	Counter string // what told the time
	Rate    uint64 // its ticks per second
	Used    bool   // by the package
	Begun   uint64 // the counter when the run began
	Events  []Event
	Logs    []FileLog
}

// Machine is what a table row says of a machine.
type Machine struct {
	System     string // GOOS/GOARCH and the kernel's version
	CPU        string // its model
	Hypervisor string // as the machine knows it
	Protection []Protection
}

// Protection is a row of rand.Inspect.
type Protection struct {
	Name   string
	Active bool
	Detail string
}

// Event is a clone signal, or Generation, that was found to say something else.
type Event struct {
	Name   string
	At     uint64 // the counter when it was found
	Detail string
}

// FileLog is the reads of one generator.
type FileLog struct {
	Name     string
	Reads    uint64 // made
	Segments []FileSegment
}

// FileSegment is reads one after the other.
type FileSegment struct {
	First  uint64   // the number of the first
	Begin  uint64   // the counter before the first
	Took   []uint64 // for each read how far the counter went in it,
	Passed []uint64 // and from its end to the begin of the next
	Hashes []byte   // 8 bytes a block, and one block a read
}

const (
	formatName = "clonerand probe 1"
	hashSize   = 8
	maxFile    = 16 << 20 // of JSON, in bytes: 230,000 reads with numbers of 20 digits take 12 MB
	maxCommas  = 1 << 20  // in it: these reads have 500,000. Each may stand for 100 bytes of memory
)

// SetLogs fills in what the region has recorded.
func (f *File) SetLogs(img *Image) {
	f.Logs = nil
	for _, l := range img.Logs {
		log := FileLog{Name: l.Name, Reads: l.Count}
		for _, s := range l.segments {
			var seg FileSegment
			for i, r := range s.records {
				if s.first+uint64(i) == l.Count || len(r.Blocks) != 1 {
					break // the read under way when the run was stopped
				}
				if i == 0 {
					seg.First, seg.Begin = s.first, r.Begin
				} else {
					seg.Passed = append(seg.Passed, r.Begin-s.records[i-1].End)
				}
				seg.Took = append(seg.Took, r.End-r.Begin)
				sum := sha256.Sum256(r.Blocks[0][:])
				seg.Hashes = append(seg.Hashes, sum[:hashSize]...)
			}
			if len(seg.Took) > 0 {
				log.Segments = append(log.Segments, seg)
			}
		}
		f.Logs = append(f.Logs, log)
	}
}

// Image returns the logs for a [Comparison].
func (f *File) Image() (*Image, error) {
	if len(f.Logs) > maxLogs {
		return nil, fmt.Errorf("%d logs are too many", len(f.Logs))
	}
	img := &Image{Rate: f.Rate, CounterUsed: f.Used}
	for _, log := range f.Logs {
		l := LogImage{Name: log.Name, Count: log.Reads}
		next := uint64(0)
		for _, seg := range log.Segments {
			n := uint64(len(seg.Took))
			if seg.First < next || n == 0 || n > log.Reads || seg.First > log.Reads-n ||
				len(seg.Passed) != len(seg.Took)-1 || len(seg.Hashes) != hashSize*len(seg.Took) {
				return nil, fmt.Errorf("log %q is broken", log.Name)
			}
			next = seg.First + n
			s := segment{first: seg.First}
			at := seg.Begin
			for i, took := range seg.Took {
				if i > 0 {
					at += seg.Passed[i-1]
				}
				var b Block
				copy(b[:], seg.Hashes[i*hashSize:][:hashSize])
				s.records = append(s.records, Record{Begin: at, End: at + took, Blocks: []Block{b}})
				at += took
			}
			l.segments = append(l.segments, s)
		}
		img.Logs = append(img.Logs, l)
	}
	return img, nil
}

// Write writes the file.
func (f *File) Write(w io.Writer) error {
	f.Format = formatName
	z := gzip.NewWriter(w)
	if err := json.NewEncoder(z).Encode(f); err != nil {
		return err
	}
	return z.Close()
}

// ReadFile reads a whole file.
func ReadFile(r io.Reader) (*File, error) {
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, fmt.Errorf("not a file of clonerand probe run: %w", err)
	}
	b, err := io.ReadAll(io.LimitReader(z, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("not a whole file of clonerand probe run: %w", err)
	}
	f := new(File)
	another := errors.New("not a file of clonerand probe run, or of another version of it")
	if len(b) > maxFile || bytes.Count(b, []byte(",")) > maxCommas || !bytes.Contains(b[:min(len(b), 100)], []byte(formatName)) {
		return nil, another
	}
	if err := json.Unmarshal(b, f); err != nil {
		return nil, fmt.Errorf("not a file of clonerand probe run: %w", err)
	}
	if f.Format != formatName {
		return nil, another
	}
	return f, nil
}
