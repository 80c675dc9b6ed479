package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/clonerand/rand/internal/probe"
)

func TestVerdictIsWhatEachGeneratorMustShow(t *testing.T) {
	for _, test := range []struct {
		generator string
		equal     int
		told      bool
		patched   bool
		verdict   string
		ok        bool
	}{
		{"clonerand", 0, false, false, "ok", true},
		{"clonerand", 0, true, false, "ok, Generation moved", true},
		{"clonerand", 1, false, false, "FAIL: repeats", false},
		{"signals alone", 1, true, false, "FAIL: repeats", false},
		{"crypto/rand", 0, false, false, "-", true},
		{"crypto/rand", 4000, false, false, "-", true},
		{"unguarded", 1, false, false, "repeats, as it must", true},
		{"unguarded", 0, false, false, "FAIL: does not repeat", false},
		{"AES-CTR", 0, false, false, "FAIL: does not repeat", false},
		{"crypto/rand", 0, false, true, "ok", true},
		{"crypto/rand", 1, false, true, "FAIL: repeats", false},
		{"mlkem.GenerateKey768", 1, false, false, "repeats, as it must", true},
		{"mlkem.GenerateKey768", 0, false, false, "FAIL: does not repeat", false},
		{"mlkem.GenerateKey768", 1, false, true, "FAIL: repeats", false},
		{"ecdsa.GenerateKey", 0, false, true, "ok", true},
	} {
		r := row{counter: true, told: test.told, patched: test.patched, Finding: probe.Finding{Generator: test.generator, Equal: test.equal}}
		if verdict, ok := r.verdict(); verdict != test.verdict || ok != test.ok {
			t.Errorf("%s, %d equal: %q, %v", test.generator, test.equal, verdict, ok)
		}
	}
}

func TestVerdictNeedsTheCounterWhereThereIsOne(t *testing.T) {
	for _, counter := range []bool{false, true} {
		for _, blind := range []bool{false, true} {
			r := row{blind: blind, counter: counter, Finding: probe.Finding{Generator: "clonerand"}}
			if verdict, ok := r.verdict(); ok != (counter != blind) {
				t.Errorf("counter used %v, machine without %v: %q", counter, blind, verdict)
			}
		}
	}
}

func TestVerdictOnAGuardedKernel(t *testing.T) {
	for equal, want := range []bool{true, false} {
		r := row{guarded: true, counter: true, Finding: probe.Finding{Generator: "crypto/rand", Equal: equal, EarlyEqual: 7}}
		if verdict, ok := r.verdict(); ok != want {
			t.Errorf("%d equal: %q", equal, verdict)
		}
	}
}

func TestChooseTakesAllThatCIRunsUnlessTold(t *testing.T) {
	all := []scenario{{name: "a"}, {name: "b", full: true}, {name: "c"}}
	for _, test := range []struct {
		names string
		full  bool
		want  []string
	}{
		{"", false, []string{"a", "c"}},
		{"", true, []string{"a", "b", "c"}},
		{"b", false, []string{"b"}},
		{"c,a", false, []string{"c", "a"}},
		{"a,nobody", false, nil},
	} {
		chosen, err := choose(all, test.names, test.full)
		var got []string
		for _, s := range chosen {
			got = append(got, s.name)
		}
		if d := cmp.Diff(test.want, got); d != "" || (err == nil) != (test.want != nil) {
			t.Errorf("-case %q, full %v: %v\n%s", test.names, test.full, err, d)
		}
	}
}

func TestScenariosNameClonesThatTheyHave(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range scenarios() {
		if seen[s.name] {
			t.Errorf("two cases are called %s", s.name)
		}
		seen[s.name] = true
		for _, c := range s.compare {
			for _, k := range c.clones {
				if k >= len(s.clones) {
					t.Errorf("%s compares clone %d of %d", c.name, k, len(s.clones))
				}
			}
		}
		if !s.hibernate && !s.probe && (s.rounds == 0 || len(s.compare) == 0) {
			t.Errorf("%s compares nothing", s.name)
		}
	}
}

func TestARequestEndsWithTheMachine(t *testing.T) {
	for events, want := range map[string]error{
		`{"event":"STOP"}{"event":"SHUTDOWN","data":{"guest":true}}`: errEnded,
		`{"event":"STOP"}{"return":{}}`:                              nil,
	} {
		ours, qemu := net.Pipe()
		defer qemu.Close()
		go func() {
			bufio.NewReader(qemu).ReadString('\n')
			io.WriteString(qemu, events)
		}()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		q := &qmp{conn: ours, dec: json.NewDecoder(ours)}
		if err := q.run(ctx, "pmemsave", nil, nil); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", events, err, want)
		}
	}
}
