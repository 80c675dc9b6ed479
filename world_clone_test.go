package rand

import (
	"reflect"
	"sync/atomic"
)

// newShardedReader is a default Reader with so many shards, a power of two, for
// tests that must know which one serves.
func newShardedReader(h *host, n int) *reader {
	r := newReaderOn(h)
	f := *r.fleet.Load()
	f.shards = make([]atomic.Pointer[instance], n)
	r.fleet.Store(&f)
	r.start()
	return r
}

func (r *reader) shard(i int) *instance { return r.fleet.Load().shards[i].Load() }

func (r *reader) conf() *config { return r.fleet.Load().conf }

// cloneReader is r as a snapshot of its memory holds it, restored in world w: all
// secrets, and all that the detectors knew.
func cloneReader(r *reader, w *world) *reader {
	h := w.host()
	n := len(r.fleet.Load().shards)
	c := newShardedReader(h, n)
	c.conf().interval = r.conf().interval
	c.order.Store(r.order.Load())
	h.cloneDetectors(r.conf().host)
	for i := range n {
		if s := r.shard(i); s != nil {
			c.fleet.Load().shards[i].Store(s.clone(c.conf()))
		}
	}
	return c
}

// cloneGenerator is the same for a Generator, on host h.
func cloneGenerator(g *Generator, h *host) *Generator {
	conf := &config{host: h, entropy: g.conf.entropy, perso: g.conf.perso, interval: g.conf.interval}
	c := &Generator{conf: conf}
	conf.accepted.Store(g.conf.accepted.Load())
	h.cloneDetectors(g.conf.host)
	c.order.Store(g.order.Load())
	c.inst.Store(g.inst.Load().clone(conf))
	return c
}

func (h *host) cloneDetectors(from *host) {
	if s := from.clones.last.Load(); s != nil {
		sighting := *s
		h.clones.last.Store(&sighting)
	}
	if old, l := from.pause.limits.Load(), h.pause.limits.Load(); old != nil && old != l {
		l.why, l.rate, l.g, l.zero = old.why, old.rate, old.g, old.zero
		l.allowance.Store(old.allowance.Load())
	}
}

// clone copies all of an instance, whatever fields it has.
func (s *instance) clone(c *config) *instance {
	n := new(instance)
	s.cloneTo(n, c)
	return n
}

func (s *instance) cloneTo(n *instance, c *config) {
	reflect.ValueOf(n).Elem().Set(reflect.ValueOf(s).Elem())
	n.lock.unlock()
	n.conf, n.host = c, c.host
	n.seededAs(s)
	if n.lim != nil {
		n.lim = c.host.pause.limits.Load()
	}
	if n.folder != nil {
		n.folder = newAES(n.kept[keptLen:])
	}
}

// seededAs makes n, which has a host of its own, a state of the same clone number as s.
func (n *instance) seededAs(s *instance) {
	here := n.host.clones.current()
	for _, x := range []struct{ from, to **sighting }{{&s.under, &n.under}, {&s.seededUnder, &n.seededUnder}} {
		if *x.to = *x.from; *x.from != nil && (*x.from).number == here.number {
			*x.to = here
		}
	}
}
