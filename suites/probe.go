package suites

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/touchstone-llm/touchstone/exchange"
	"github.com/touchstone-llm/touchstone/schemas"
)

// A probe is a small conversation with the target. It is sent once; any number
// of rules read what came back.
type probe struct {
	name string
	// tests are the parameters that the probe is about: a refusal that names
	// one of them makes the rules that need the answer `unsupported`.
	tests []string
	// routes on which the probe is sent; nil for all.
	routes []schemas.Route
	// dialects in which the probe is sent; nil for all.
	dialects []string
	// needs says what calibration must have learned, or why the probe cannot
	// be sent; nil needs nothing.
	needs func(*Facts) string
	// asks are the requests, sent one after the other, or all at the same time
	// and nothing else meanwhile.
	asks     func(*Facts) []ask
	together bool
	// free is whether the requests may be in flight side by side, in any order,
	// as far as the governor allows.
	free bool
	// once keeps a 429 as the answer instead of coming back later.
	once bool
	opts []exchange.Option
	// then names a probe that is sent when this one is over.
	then string
	// last holds the probe back until all others have been answered: it may
	// leave a bad target unable to answer.
	last bool
	// beside marks a probe of another deployment: only rules that read it judge
	// what came back.
	beside bool
	// hostile marks requests that a target must refuse: the control request
	// follows them (ERR-011), once for all of the probe.
	hostile bool
	// bad marks them too, but nothing follows.
	bad bool
	// lawful are labels of hostile requests that may be answered, too: such an
	// answer is judged as any other.
	lawful []string
}

// An ask is one request: a prompt and the parameters, and what else is unusual
// about it.
type ask struct {
	// label tells the requests of a probe apart; it is part of the exchange's
	// id. Empty where their order or their bodies do.
	label  string
	prompt string
	body   body
	wire   wire
	// canary listens while the request is under way, at the address that stands
	// for canaryHost in its body; who comes is recorded under the label fetched.
	canary bool
	// rest is how long the deployment is left alone before.
	rest rest
	// until429 leaves the ask out once one of the same label got 429.
	until429 bool
}

// A rest lets the quota of a deployment recover.
type rest int

const (
	none    rest = iota
	asTold       // as long as the last 429 of the probe says
	silence      // a whole window
)

// The deployments beside the target, as a wire names them.
const (
	limited    = "limited"
	unscreened = "unscreened"
)

// A wire is where a request differs from a JSON POST to its route. The zero
// value differs in nothing.
type wire struct {
	// method is POST where empty.
	method string
	// path replaces the path and query of the route.
	path string
	// header is set over the usual one; a value of "" removes a name.
	header http.Header
	// raw is sent as it stands in place of prompt and body, if not nil; empty
	// sends no body.
	raw []byte
	// to names the deployment that gets the request; empty is the target.
	to string
	// bare sends body without the prompt of the ask.
	bare bool
}

// A future is a probe under way on one route.
type future struct {
	probe *probe
	// why is not empty when the probe could not be sent.
	why  string
	done chan struct{}
}

// futures are the probes of a run, each started at most once.
type futures struct {
	session *session
	mu      sync.Mutex
	started map[string]*future
}

func (fs *futures) start(ctx context.Context, p *probe, f *Facts) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	key := futureKey(f.Route, p.name)
	if fs.started[key] != nil {
		return
	}
	fu := &future{probe: p, done: make(chan struct{})}
	fs.started[key] = fu
	if fu.why = p.unsent(f); fu.why != "" {
		close(fu.done)
		return
	}
	go func() {
		defer close(fu.done)
		if p.last {
			fs.others(ctx)
		}
		asks := p.asks(f)
		fs.session.send(ctx, p, f, asks)
		if next := probeByName[p.then]; next != nil {
			fs.session.send(ctx, next, f, next.asks(f))
		}
		if p.hostile && len(asks) > 0 {
			fs.session.send(ctx, &after, f, []ask{{label: p.name, prompt: plainPrompt(f.Route), body: f.greedy(1)}})
		}
	}()
}

// others waits for every probe that is not to come last.
func (fs *futures) others(ctx context.Context) {
	fs.mu.Lock()
	var pending []*future
	for _, fu := range fs.started {
		if !fu.probe.last && !fu.probe.beside {
			pending = append(pending, fu)
		}
	}
	fs.mu.Unlock()
	for _, fu := range pending {
		select {
		case <-fu.done:
		case <-ctx.Done():
		}
	}
}

// after is the control request that follows hostile probes (ERR-011); its
// label is the name of the probe.
var after = probe{name: "after"}

// unsent says why a probe cannot be sent, "" if it can.
func (p *probe) unsent(f *Facts) string {
	switch {
	case p.routes != nil && !slices.Contains(p.routes, f.Route):
		return "the probe is not sent on this route"
	case p.dialects != nil && !slices.Contains(p.dialects, f.target.dialect()):
		return "the probe is not sent in this dialect"
	case p.needs != nil:
		return p.needs(f)
	}
	return ""
}

func futureKey(route schemas.Route, name string) string { return string(route) + "." + name }

// wait returns once the named probes have been answered; none named waits for
// all that were started.
func (fs *futures) wait(ctx context.Context, route schemas.Route, names ...string) {
	fs.mu.Lock()
	var pending []*future
	for key, fu := range fs.started {
		if len(names) == 0 && len(key) > len(route) && key[:len(route)] == string(route) || slices.Contains(names, fu.probe.name) && key == futureKey(route, fu.probe.name) {
			pending = append(pending, fu)
		}
	}
	fs.mu.Unlock()
	for _, fu := range pending {
		select {
		case <-fu.done:
		case <-ctx.Done():
			return
		}
	}
}

// why says why a probe was not sent, "" if it was.
func (fs *futures) why(route schemas.Route, name string) string {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fu := fs.started[futureKey(route, name)]; fu != nil {
		return fu.why
	}
	return ""
}

// of is how long to rest after the last refusal, nil for none. What a target
// asks for is bounded: it may be wrong.
func (r rest) of(last *reply, l *Limited) time.Duration {
	switch {
	case r == none || l == nil:
		return 0
	case r == asTold && last != nil:
		if after, told := last.comesBack(); told {
			return min(after, 2*l.Window+time.Second)
		}
	}
	return l.Window
}

func (s *session) send(ctx context.Context, p *probe, f *Facts, asks []ask) {
	if p.free {
		var wg sync.WaitGroup
		for _, a := range asks {
			id := s.name(f.Route, p.name, a.label) // in order, so that a replay finds each
			wg.Go(func() { s.askAs(ctx, id, s.gov.do, a, p.once, p.opts...) })
		}
		wg.Wait()
		return
	}
	if !p.together {
		refused := map[string]*reply{} // by label; "" is the last
		for _, a := range asks {
			if a.until429 && refused[a.label] != nil {
				continue
			}
			if s.opts.Replay == nil {
				s.gov.sleep(ctx, a.rest.of(refused[""], f.target.Limited))
			}
			if ctx.Err() != nil {
				return
			}
			do := s.gov.do
			if p.beside {
				do = s.gov.persist // few, and in time
			}
			if r := s.ask(ctx, do, f.Route, p.name, a, p.once, p.opts...); r.status() == http.StatusTooManyRequests {
				refused[a.label], refused[""] = r, r
			}
		}
		return
	}
	var sends []func()
	for _, a := range asks {
		id := s.name(f.Route, p.name, a.label) // in order, so that a replay finds each
		sends = append(sends, func() { s.askAs(ctx, id, s.gov.persist, a, p.once, p.opts...) })
	}
	if !p.beside {
		s.gov.alone(sends)
		return
	}
	if s.opts.Replay == nil && len(asks) > 0 {
		s.gov.sleep(ctx, asks[0].rest.of(nil, f.target.Limited))
	}
	atOnce(sends)
}
