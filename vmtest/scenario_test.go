package main

import (
	"testing"

	"github.com/clonerand/rand/internal/probe"
)

// guardedClone reads the same in every clone at the even hundreds; its guard ticks at these times after the restore.
func guardedClone(t *testing.T, shift uint64, ticks ...uint64) *probe.Image {
	t.Helper()
	specs := []probe.Spec{{Name: "crypto/rand", Chunks: 4, Records: 16, Bytes: 256}, {Name: "ticks", Chunks: 4, Records: 16, Bytes: 16}}
	r, err := probe.New(make([]byte, probe.Size(specs)), specs)
	if err != nil {
		t.Fatal(err)
	}
	r.SetRate(1e9)
	tick := func(at uint64) { r.Logs[1].Begin(at, 0); r.Logs[1].End(at) }
	tick(50)
	for i := range uint64(10) {
		at := i * 100
		if i > 0 {
			at += shift
		}
		copy(r.Logs[0].Begin(at, 16), []byte{1: byte(i)})
		r.Logs[0].End(at + 10)
	}
	for _, at := range ticks {
		tick(at + shift)
	}
	img, err := r.Image()
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func TestGuardedCountsFromTheFirstTickAfterTheRestore(t *testing.T) {
	clones := []*probe.Image{guardedClone(t, 1000, 150, 450, 700), guardedClone(t, 2000, 150, 450, 700)}
	c, err := guarded(clones)
	if err != nil {
		t.Fatal(err)
	}
	found, err := c.Run()
	if err != nil {
		t.Fatal(err)
	}
	// Of the reads after the restore, at 100 to 900, those at 200 and later count.
	if f := found[0]; len(found) != 1 || f.Reads != 8 || f.Equal != 8 || f.Early != 1 || f.EarlyEqual != 1 {
		t.Errorf("%+v", found)
	}
	if _, err := guarded([]*probe.Image{guardedClone(t, 1000), guardedClone(t, 2000)}); err == nil {
		t.Error("compared without a tick")
	}
}
