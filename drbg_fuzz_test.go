package rand

import (
	"bytes"
	"testing"
)

// FuzzGenerate: whatever the inputs, one call, the same in pieces, and the
// reference agree.
func FuzzGenerate(f *testing.F) {
	f.Add([]byte("entropy"), []byte("nonce"), []byte("perso"), []byte("additional"), []byte{16, 0, 1, 255, 33})
	f.Add([]byte{}, []byte{}, []byte{}, []byte{}, []byte{})
	f.Add(bytes.Repeat([]byte{0xff}, 48), []byte{}, bytes.Repeat([]byte{1}, 300), []byte{0}, []byte{15, 1, 16, 17, 200, 200, 200})
	f.Fuzz(func(t *testing.T, entropy, nonce, perso, additional, pieces []byte) {
		d, ref := newCTRDRBG(entropy, nonce, perso), newReference(entropy, nonce, perso)
		if len(perso) >= blockLen {
			copy(d.v[:], perso) // any counter, too
			ref = referenceOf(d)
		}
		total := 0
		for _, n := range pieces[:min(len(pieces), 200)] {
			total += int(n) * 5
		}
		total = min(total, maxRequest)
		whole := *d
		inPieces := make([]byte, 0, total)
		r := d.begin()
		for _, n := range pieces {
			piece := make([]byte, min(int(n)*5, total-len(inPieces)))
			r.fill(piece)
			inPieces = append(inPieces, piece...)
		}
		d.end(&r)
		out := make([]byte, total)
		if err := whole.generate(out, nil); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(inPieces, out) {
			t.Error("in pieces it is not what one call makes")
		}
		if *d != whole {
			t.Error("in pieces it leaves another state than one call")
		}
		if want := ref.generate(total, nil); !bytes.Equal(out, want) {
			t.Error("the output is not the reference's")
		}
		checkState(t, d, ref)
		checkGenerate(t, d, ref, len(pieces)%100, additional)
		reseed(d, nonce, additional)
		ref.reseed(nonce, additional)
		checkGenerate(t, d, ref, 32, nil)
	})
}
