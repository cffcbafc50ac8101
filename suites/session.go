package suites

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/touchstone-llm/touchstone/exchange"
	"github.com/touchstone-llm/touchstone/schemas"
)

// A body is a request body but for the prompt, which the route decides.
type body map[string]any

// A session is one run against one target: it sends, records and remembers.
type session struct {
	target Target
	opts   Options
	client *exchange.Client
	// others are the clients of the other deployments, by what an ask names them.
	others map[string]*exchange.Client
	gov    *governor
	facts  map[schemas.Route]*Facts

	mu     sync.Mutex
	sent   map[string]int // requests by probe and label, for ids
	record []*reply
}

func newSession(t Target, o Options) (*session, error) {
	connect := func(t Target) (*exchange.Client, error) {
		return exchange.NewClient(exchange.Options{
			BaseURL:   t.BaseURL,
			Key:       t.Key,
			Header:    t.Header,
			TLS:       t.TLS,
			UserAgent: "touchstone/" + o.Version,
			Timeout:   o.Timeout,
		})
	}
	client, err := connect(t)
	if err != nil {
		return nil, configError("%v", err)
	}
	others := map[string]*exchange.Client{}
	if t.Limited != nil {
		if others[limited], err = connect(t.beside(t.Limited.Beside)); err != nil {
			return nil, configError("limited: %v", err)
		}
	}
	if t.Unscreened != nil {
		if others[unscreened], err = connect(t.beside(*t.Unscreened)); err != nil {
			return nil, configError("unscreened: %v", err)
		}
	}
	return &session{
		target: t, opts: o, client: client, others: others, gov: newGovernor(o.Concurrency, o.Budget),
		facts: map[schemas.Route]*Facts{}, sent: map[string]int{},
	}, nil
}

// prompt returns b with the prompt of a route: `prompt`, or `messages` with
// one user turn.
func (b body) prompt(route schemas.Route, text string) body {
	out := body{}
	for k, v := range b {
		out[k] = v
	}
	if route == schemas.Chat {
		out["messages"] = []map[string]string{{"role": "user", "content": text}}
	} else {
		out["prompt"] = text
	}
	return out
}

// post sends one plain request and records what came back. once keeps a 429 as
// the answer; otherwise the governor waits and sends again.
func (s *session) post(ctx context.Context, route schemas.Route, probe string, b body, once bool) *reply {
	return s.ask(ctx, s.gov.do, route, probe, ask{body: b, wire: wire{bare: true}}, once)
}

type manner func(ctx context.Context, once, paced bool, send func() *exchange.Exchange) *exchange.Exchange

// ask sends one request and records what came back.
func (s *session) ask(ctx context.Context, do manner, route schemas.Route, probe string, a ask, once bool, opts ...exchange.Option) *reply {
	return s.askAs(ctx, s.name(route, probe, a.label), do, a, once, opts...)
}

// name gives the next request of a probe its id.
func (s *session) name(route schemas.Route, probe, label string) exchangeID {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := exchangeID{route, probe, label, 0}
	s.sent[id.String()]++
	id.n = s.sent[id.String()]
	return id
}

// longest is how much of a request's body is kept as evidence.
const longest = 64 << 10

// askAs is ask with an id. In a replay nothing is sent: the exchange of that id
// is taken from the evidence.
func (s *session) askAs(ctx context.Context, id exchangeID, do manner, a ask, once bool, opts ...exchange.Option) *reply {
	x, visit := s.replayed(id), exchangeID{id.route, id.probe, fetched, 1}
	if x == nil {
		req, client := s.request(id.route, a), s.client
		if a.wire.to != "" {
			client = s.others[a.wire.to]
		}
		if a.canary {
			defer s.listen(&req, visit)()
		}
		x = do(ctx, once, a.wire.to == "", func() *exchange.Exchange { return client.Do(ctx, id.String(), req, opts...) })
		if x.ID == "" { // nothing was sent
			x.ID, x.Started, x.Request = id.String(), time.Now(), req
		}
		if ctx.Err() != nil && x.Error != "" {
			x.Void, x.Error = true, "the run was interrupted"
		}
		if len(x.Request.Body) > longest {
			x.Request.Body = append(bytes.Clone(x.Request.Body[:1024]), "…"...)
		}
	} else if came := s.replayed(visit); a.canary && came.Request.URL != "" {
		s.keep(newReply(id.route, id.probe, came))
	}
	r := newReply(id.route, id.probe, x)
	s.gov.spent(r.tokens())
	s.keep(r)
	return r
}

// keep records what came.
func (s *session) keep(r *reply) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.record = append(s.record, r)
}

// listen puts the address of a canary into a request. The function that it
// returns stops it, and records who came.
func (s *session) listen(req *exchange.Request, id exchangeID) func() {
	c := newCanary()
	if c == nil {
		return func() {}
	}
	req.Body = c.in(req.Body)
	return func() {
		if x := c.heard(id); x != nil {
			s.keep(newReply(id.route, id.probe, x))
		}
	}
}

// replayed is the exchange of that id in the evidence that is judged again, nil
// if this is no replay.
func (s *session) replayed(id exchangeID) *exchange.Exchange {
	if s.opts.Replay == nil {
		return nil
	}
	name := id.String()
	for _, x := range s.opts.Replay {
		if x.ID == name {
			return x
		}
	}
	return &exchange.Exchange{ID: name, Error: "the evidence does not hold this exchange", Void: true}
}

// tokens is what an answer cost, as far as it says; a stream without usage is
// counted by its chunks.
func (r *reply) tokens() int {
	if n := int(r.doc.Get("usage.total_tokens").Int()); n > 0 {
		return n
	}
	return len(r.chunks)
}

// request is an ask as it will be sent.
func (s *session) request(route schemas.Route, a ask) exchange.Request {
	req := exchange.Request{
		Method: cmp.Or(a.wire.method, http.MethodPost),
		Path:   cmp.Or(a.wire.path, s.target.path(route)),
		Header: a.wire.header,
		Body:   a.wire.raw,
	}
	if a.wire.raw != nil {
		return req
	}
	b := a.body
	if !a.wire.bare {
		b = b.prompt(route, a.prompt)
	}
	if _, set := b["model"]; !set && s.target.Model != "" {
		b = body{"model": s.target.Model}.with(b)
	}
	raw, err := json.Marshal(b)
	if err != nil { // bodies are ours: only a programming error gets here
		panic(fmt.Sprintf("request body: %v", err))
	}
	req.Body = raw
	return req
}

// lost says why none of the last requests to the target found a connection, ""
// if one did.
func (s *session) lost() string {
	const enough = 3
	s.mu.Lock()
	defer s.mu.Unlock()
	sent := slices.DeleteFunc(slices.Clone(s.record), func(r *reply) bool {
		p := probeByName[r.probe]
		return r.Void || p != nil && p.beside
	})
	slices.SortFunc(sent, func(a, b *reply) int { return a.Started.Compare(b.Started) })
	if len(sent) < enough {
		return ""
	}
	sent = sent[len(sent)-enough:]
	if slices.ContainsFunc(sent, func(r *reply) bool { return !r.unreached() }) {
		return ""
	}
	return sent[enough-1].Error
}

// An exchangeID is what names an exchange within a run: chat.n3#2, or with a
// label chat.bad.n:-1#1.
type exchangeID struct {
	route schemas.Route
	probe string
	label string
	n     int
}

func (id exchangeID) String() string {
	s := string(id.route) + "." + id.probe
	if id.label != "" {
		s += ":" + id.label
	}
	if id.n == 0 {
		return s
	}
	return fmt.Sprintf("%s#%d", s, id.n)
}

// parseID reads what String wrote, as far as it can.
func parseID(s string) exchangeID {
	var id exchangeID
	if i := strings.LastIndexByte(s, '#'); i >= 0 {
		_, _ = fmt.Sscanf(s[i+1:], "%d", &id.n)
		s = s[:i]
	}
	s, id.label, _ = strings.Cut(s, ":")
	route, probe, _ := strings.Cut(s, ".")
	id.route, id.probe = schemas.Route(route), probe
	return id
}

// replies returns what was recorded on a route so far, in the order in which
// the answers came.
func (s *session) replies(route schemas.Route) []*reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []*reply
	for _, r := range s.record {
		if r.route == route {
			out = append(out, r)
		}
	}
	return out
}
