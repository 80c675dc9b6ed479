package rand

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/clonerand/rand/internal/signalfile"
)

// A Protection is one row of the report of [Inspect]: a way in which clones are noticed,
// or kept apart, or secrets are guarded.
type Protection struct {
	Name   string // "fork", "pause", "random instruction", "secrets", "standard library", or the name of a clone signal
	Active bool
	Detail string // what is used and what it says, or why it is not
	Mend   string // what to do about it; "" where nothing is to be done
}

// Inspect reports what protects this process here. If loop is positive it also reads the
// cycle counter for that time, as Reads do, and counts the pauses. Where the counter is not
// measured yet it waits for that, for some 10 us, or 2 s where the clock moves in long steps.
// Nothing in the report is secret. It may be called at any time from any goroutine.
func Inspect(loop time.Duration) []Protection {
	h := thisHost
	now := h.clones.current()
	report := []Protection{h.inspectFork(now), h.inspectPause(loop)}
	for _, sig := range now.signals {
		report = append(report, sig.inspect())
	}
	return append(report, h.inspectRandom(), inspectSecrets(now), inspectStd())
}

func (h *host) inspectFork(g *generation) Protection {
	p := Protection{Name: "fork", Active: g.page != nil || g.pid != 0}
	switch {
	case g.page != nil && g.pageWhy() != "":
		p.Detail = "the PID, and a page that the kernel may not wipe: " + g.pageWhy()
	case g.page != nil:
		p.Detail = "a page that the kernel wipes on fork, and the PID"
	case p.Active:
		p.Detail = "the PID after each pause; no wiped page: " + g.pageWhy()
		p.Mend = "a child with its parent's PID is noticed by the pause only"
	default:
		p.Detail = g.pageWhy()
	}
	return p
}

func (h *host) inspectPause(loop time.Duration) Protection {
	p := Protection{Name: "pause", Mend: "every small Read mixes in system bytes, which is safe where crypto/rand is"}
	if loop > 0 {
		h.pause.await()
	}
	l := h.pause.usable()
	if l == nil {
		if l = h.pause.limits.Load(); l == nil {
			p.Detail = "the cycle counter is not measured yet"
		} else {
			p.Detail = l.why
		}
		return p
	}
	p.Active, p.Mend = true, ""
	p.Detail = fmt.Sprintf("%s at %d kHz, a pause is %d ticks (%v)", counterName, l.rate/1000, l.g, pauseTime)
	if a := l.allowance.Load(); a > l.g {
		p.Detail += fmt.Sprintf(", a mix may take %d", a)
	}
	if loop > 0 {
		cost, pauses := h.pause.trial(l, loop)
		p.Detail += fmt.Sprintf("; one check takes %.1f ns, %d pauses in %v", cost, pauses, loop)
	}
	return p
}

// trial is a loop that checks for pauses and does nothing else. It ends by the counter or by
// the clock: either may stand still (the clock does in testing/synctest).
func (p *pauseDetector) trial(l *pauseLimits, loop time.Duration) (nanoseconds float64, pauses int) {
	const batch = 1000
	checks := 0
	start := time.Now()
	first := p.now()
	last := first
	ticks := uint64(loop.Seconds() * float64(l.rate))
	for ended := false; !ended; ended = last-first >= ticks || time.Since(start) >= loop {
		for range batch {
			now := p.now()
			if l.paused(last, now) {
				pauses++
			}
			last = now
		}
		checks += batch
	}
	return float64(last-first) / float64(l.rate) * 1e9 / float64(checks), pauses
}

func (h *host) inspectRandom() Protection {
	p := Protection{Name: "random instruction", Detail: cpuRandomName}
	if _, _, p.Active = h.draw(); p.Active {
		return p
	}
	p.Detail = "none"
	if h.random != nil {
		p.Detail = cpuRandomName + " gives no usable numbers"
	}
	p.Mend = "after a clone the kernel's generator may repeat until it has reseeded; a signal or a hook tells it"
	return p
}

// ordinaryMend is what to do where secrets lie in ordinary memory.
const ordinaryMend = "switch core dumps off (ulimit -c 0), and encrypt swap"

// inspectSecrets reports where secrets are, and whether those of crypto/aes are wiped.
func inspectSecrets(g *generation) Protection {
	p := inspectSlab(g)
	if !wipesCiphers() {
		p.Active = false
		p.Detail += "; expanded keys are left on the heap: crypto/aes has a layout that is not known"
	}
	return p
}

func (s *signal) inspect() Protection {
	if s.memory == nil {
		detail, mend, _ := strings.Cut(s.why(), "; ")
		return Protection{Name: s.name, Detail: detail, Mend: mend}
	}
	p := Protection{Name: s.name, Active: true, Detail: "watched"}
	for _, i := range slices.Concat(s.watch, s.hints) {
		p.Detail += fmt.Sprintf(", value %d", signalfile.LittleEndian(atomic.LoadUint64(&s.memory[i])))
	}
	return p
}
