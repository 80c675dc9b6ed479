package main

import (
	"math"
	"testing"
)

func TestLimits(t *testing.T) {
	f := figure{1, 2}
	for cpu, want := range map[string][2]float64{
		"AMD EPYC 7763 64-Core Processor": {1.3, 0.7},
		"Intel(R) Xeon(R) Processor":      {2.6, 1.4},
		"CPU unknown":                     {2.6, 0.7},
	} {
		if most, least := f.most(cpu), f.least(cpu); math.Abs(most-want[0]) > 1e-9 || math.Abs(least-want[1]) > 1e-9 {
			t.Errorf("%s: at most %v, at least %v, want %v", cpu, most, least, want)
		}
	}
}
