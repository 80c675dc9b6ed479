package rand

import (
	cryptorand "crypto/rand"
	"errors"
	"math/big"
	"os"
	"runtime"
	"strings"
	"testing"
)

// What can only be seen in a process of its own.

func skipWithoutProcesses(t *testing.T) {
	t.Helper()
	switch runtime.GOOS {
	case "js", "wasip1", "ios", "android":
		t.Skip("no processes can be started here")
	}
}

// A failure of the Reader ends the program, whatever recovers.
func TestCrashIsIrrecoverable(t *testing.T) {
	if isAgain() {
		defer func() {
			recover()
			os.Exit(0)
		}()
		failing := readerFunc(func([]byte) (int, error) { return 0, errors.New("the cause") })
		switch os.Getenv("CLONERAND_TEST_CRASH") {
		case "Read":
			Reader = failing
			Read(make([]byte, 32))
		case "Text":
			Reader = failing
			Text()
		case "Uint64":
			s := newSource("")
			g, _ := newGenerator(&Config{Entropy: s}, quietHost(s))
			s.setFail(errors.New("the cause"))
			g.Deplete()
			g.Uint64()
		case "Uint64 of the zero Generator":
			new(Generator).Uint64()
		case "Read of the default reader":
			h := quietHost(newSource(""))
			h.system = failing
			defaultReader.set(newConfig(h), &epoch{id: 1}, 1)
			Read(make([]byte, 32))
		}
		return
	}
	skipWithoutProcesses(t)
	for call, cause := range map[string]string{
		"Read":                         "the cause",
		"Text":                         "the cause",
		"Uint64":                       "the cause",
		"Uint64 of the zero Generator": "not made by New",
		"Read of the default reader":   "the cause",
	} {
		out, err := again(t, "CLONERAND_TEST_CRASH="+call)
		if err == nil {
			t.Errorf("%s: the process went on:\n%s", call, out)
		}
		if !strings.Contains(out, "panic: ") || !strings.Contains(out, cause) {
			t.Errorf("%s: the crash does not say why:\n%s", call, out)
		}
	}
}

// Who puts our Reader in the place of crypto/rand's gets no circle.
func TestCryptoRandReaderReplaced(t *testing.T) {
	if isAgain() {
		cryptorand.Reader = Reader
		b := make([]byte, 2000)
		for range 3 {
			Read(b[:16])
			Read(b)
			cryptorand.Read(b[:16])
			if err := Reseed([]byte("perso")); err != nil {
				t.Error(err)
			}
			Deplete()
			if _, err := Int(cryptorand.Reader, big.NewInt(1000)); err != nil {
				t.Error(err)
			}
			g, err := New(&Config{Entropy: cryptorand.Reader}) // our own by now
			if err != nil {
				t.Fatal(err)
			}
			if g.conf().entropy != nil {
				t.Error("our Reader as Entropy is not the system source")
			}
			if _, err := g.Read(b); err != nil {
				t.Error(err)
			}
			if err := SetPredictionResistance(true); err != nil {
				t.Error(err)
			}
		}
		return
	}
	skipWithoutProcesses(t)
	if out, err := again(t); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestFIPSOnly(t *testing.T) {
	if isAgain() {
		p, err := Prime(Reader, 64)
		_, theirs := cryptorand.Prime(cryptorand.Reader, 64)
		if p != nil || err == nil || theirs == nil || err.Error() != theirs.Error() {
			t.Errorf("Prime = %v, %v; crypto/rand's error: %v", p, err, theirs)
		}
		for _, size := range []int{1, 16, 2000, 100_000} {
			if n, err := Read(make([]byte, size)); n != size || err != nil {
				t.Errorf("Read of %d bytes = %d, %v", size, n, err)
			}
		}
		if _, err := Int(Reader, big.NewInt(1000)); err != nil {
			t.Errorf("Int: %v", err)
		}
		if err := Reseed(nil); err != nil {
			t.Error(err)
		}
		Text()
		return
	}
	skipWithoutProcesses(t)
	out, err := again(t, "GODEBUG=fips140=only")
	if strings.Contains(out, "FIPS 140-3 mode") && strings.Contains(out, "not supported") {
		t.Skipf("this system has no FIPS 140-3 mode: %s", out)
	}
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
