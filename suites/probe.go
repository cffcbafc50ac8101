package suites

import (
	"context"
	"slices"
	"sync"

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
	// needs says what calibration must have learned, or why the probe cannot
	// be sent; nil needs nothing.
	needs func(*Facts) string
	// asks are the requests, sent one after the other, or all at the same time
	// and nothing else meanwhile.
	asks     func(*Facts) []ask
	together bool
	// once keeps a 429 as the answer instead of coming back later.
	once bool
	opts []exchange.Option
	// then names a probe that is sent when this one is over.
	then string
}

// An ask is one request: a prompt and the parameters.
type ask struct {
	prompt string
	body   body
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
	switch {
	case p.routes != nil && !slices.Contains(p.routes, f.Route):
		fu.why = "the probe is not sent on this route"
	case p.needs != nil:
		fu.why = p.needs(f)
	}
	if fu.why != "" {
		close(fu.done)
		return
	}
	go func() {
		defer close(fu.done)
		fs.session.send(ctx, p, f, p.asks(f))
		if next := probeByName[p.then]; next != nil {
			fs.session.send(ctx, next, f, next.asks(f))
		}
	}()
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

func (s *session) send(ctx context.Context, p *probe, f *Facts, asks []ask) {
	if !p.together {
		for _, a := range asks {
			s.post(ctx, f.Route, p.name, a.body.prompt(f.Route, a.prompt), p.once, p.opts...)
		}
		return
	}
	var sends []func()
	for _, a := range asks {
		sends = append(sends, func() { s.postAlone(ctx, f.Route, p.name, a.body.prompt(f.Route, a.prompt), p.opts...) })
	}
	s.gov.alone(sends)
}
