package simulator

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/touchstone-llm/touchstone/engine"
)

// A deployment is a model, its quota, its safety, its latency and its defects.
type deployment struct {
	server         *Server
	endpoint, name string
	front          *front
	generator      Generator
	engine         statistician // nil: not in this process
	model          string
	aliases        []string // of the model
	// fingerprint tells OpenAI's clients which system answered: the same for
	// the same model (DET-009).
	fingerprint string
	site        *site
	quota       Quota
	meter       meter
	limiter     *limiter // nil: no quota
	filter      *filter  // nil: nothing is screened
	pacer       *pacer   // nil: the engine's own speed
	places      *places  // nil: no limit
	faults      atomic.Pointer[faults]
	defects     atomic.Pointer[armed]
	defectSeed  uint64
	wished      wishes // defects that single requests ask for
	close       func()
	metrics     deploymentMetrics
	running     atomic.Int64
	users       atomic.Int64 // requests, and 1 as long as it is deployed
}

// newDeployment prepares a deployment. That of the same name before it, if any,
// hands down what was used of the quota.
func (s *Server) newDeployment(endpoint, name string, o Settings, before *deployment) (*deployment, error) {
	d := &deployment{server: s, endpoint: endpoint, name: name, generator: o.Generator, model: o.ModelName, aliases: o.ModelAliases, quota: o.Quota, close: o.Close}
	d.users.Store(1)
	d.engine, _ = o.Generator.(statistician)
	if d.generator == nil {
		return nil, errors.New("has no Generator")
	}
	if d.model == "" {
		d.model = d.generator.Config().Name
	}
	if d.model == "" {
		d.model = "model"
	}
	if o.ContextLength > 0 && o.ContextLength < d.generator.Config().ContextLength {
		d.generator = shorten(d.generator, o.ContextLength)
	}
	sum := sha256.Sum256([]byte(d.model))
	d.fingerprint = fmt.Sprintf("fp_%x", sum[:5])
	served, err := named(o.Dialects)
	if err != nil {
		return nil, err
	}
	if d.site, err = newSite(served); err != nil {
		return nil, err
	}
	if before != nil {
		d.meter = before.meter
	} else {
		d.meter = s.newMeter(endpoint + "/" + name)
	}
	d.limiter = newLimiter(o.Quota, d.meter, s.clock)
	d.filter = newFilter(o.ContentSafety)
	if d.pacer, err = newPacer(o.Latency); err != nil {
		return nil, err
	}
	d.places = newPlaces(o.Latency.MaxRunning, o.Latency.MaxQueue)
	d.faults.Store(newFaults(o.Faults))
	d.metrics = s.metrics.of(d)
	d.defectSeed = o.DefectSeed
	return d, d.setDefects(o.Defects)
}

// release ends one use; the last one closes what is deployed no more.
func (d *deployment) release() {
	if d.users.Add(-1) == 0 && d.close != nil {
		d.close()
	}
}

// quotaState is what is left of the quota.
func (d *deployment) quotaState() []QuotaState {
	if d.limiter == nil {
		return []QuotaState{}
	}
	return d.limiter.state(context.Background())
}

// short is a generator with less context.
type short struct {
	Generator
	length int
}

// shorten returns a generator that embeds if g does.
func shorten(g Generator, length int) Generator {
	s := short{g, length}
	if e, ok := g.(Embedder); ok {
		return shortEmbedder{s, e}
	}
	return s
}

type shortEmbedder struct {
	short
	Embedder
}

func (s short) Config() engine.Config {
	c := s.Generator.Config()
	c.ContextLength = s.length
	return c
}

func (s short) Decode(tokens []int) string {
	if d, ok := s.Generator.(decoder); ok {
		return d.Decode(tokens)
	}
	return ""
}

// A front is an endpoint: a URL with keys, and the deployments behind it.
type front struct {
	name, kind  string
	keys        keyring
	deployments []*deployment
	traffic     []int // percent, of each
	mirror      []int
	mirrors     bool // any of them is above 0
}

// headerDeployment chooses a deployment, and names the one that answered.
const headerDeployment = "Azureml-Model-Deployment"

// choose returns the deployment that the header names, or one by the traffic
// (clauses DEP-033 to DEP-036).
func (e *front) choose(name string, draw func(n int) int) (*deployment, *refusal) {
	if name != "" && e.kind == "managed" {
		for _, d := range e.deployments {
			if d.name == name {
				return d, nil
			}
		}
		return nil, refuse(http.StatusNotFound, "deployment_not_found", "The header azureml-model-deployment names %q; there is no such deployment.", clip(name))
	}
	i := byShare(e.traffic, 100, draw)
	if i < 0 {
		return nil, refuse(http.StatusNotFound, "no_traffic", "No deployment of this endpoint has traffic; give one a share, or name it in the header azureml-model-deployment.")
	}
	return e.deployments[i], nil
}

// mirrored returns the deployment that answers too, or nil.
func (e *front) mirrored(draw func(n int) int) *deployment {
	if i := byShare(e.mirror, 100, draw); i >= 0 {
		return e.deployments[i]
	}
	return nil
}

// byShare draws an index by percent, -1 for the rest.
func byShare(percents []int, of int, draw func(n int) int) int {
	x := -1
	for i, p := range percents {
		switch {
		case p == 0:
		case p == of:
			return i
		case x < 0:
			x = draw(of)
			fallthrough
		default:
			if x < p {
				return i
			}
			x -= p
		}
	}
	return -1
}

// fronts are what a server serves: one snapshot, replaced as a whole.
type fronts struct {
	list   []*front
	byName map[string]*front
}

// find returns the endpoint of a URL, and the path below it.
func (s *fronts) find(host, path string) (*front, string) {
	name, rest, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if e := s.byName[name]; e != nil {
		return e, "/" + rest
	}
	if label, _, more := strings.Cut(host, "."); more {
		if e := s.byName[label]; e != nil {
			return e, path
		}
	}
	if len(s.list) == 1 {
		return s.list[0], path
	}
	return nil, path
}

func (s *fronts) deployment(endpoint, name string) *deployment {
	if s == nil {
		return nil
	}
	if e := s.byName[endpoint]; e != nil {
		for _, d := range e.deployments {
			if d.name == name {
				return d
			}
		}
	}
	return nil
}

func (s *fronts) all(yield func(*deployment) bool) {
	for _, e := range s.list {
		for _, d := range e.deployments {
			if !yield(d) {
				return
			}
		}
	}
}

// newEndpoints prepares all, or none.
func (s *Server) newEndpoints(list []Endpoint, before *fronts) (*fronts, error) {
	if err := (Config{Endpoints: list}).validate(); err != nil {
		return nil, err
	}
	all := &fronts{byName: map[string]*front{}}
	for i, o := range list {
		e, err := s.newEndpoint(o, before)
		if err != nil {
			return nil, at(fmt.Sprintf("endpoints[%d]", i), err)
		}
		all.list = append(all.list, e)
		all.byName[o.Name] = e
	}
	return all, nil
}

func (s *Server) newEndpoint(o Endpoint, before *fronts) (*front, error) {
	keys, err := o.Keys.read()
	if err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		s.log.Warn("no key is set: authentication is off", "endpoint", o.Name)
	}
	e := &front{name: o.Name, kind: o.Kind, keys: newKeyring(keys)}
	parts := o.Deployments
	if o.Kind != "managed" {
		parts = []Deployment{{Name: o.Name, Settings: o.Settings}}
	}
	for i, part := range parts {
		d, err := s.newDeployment(o.Name, part.Name, part.Settings, before.deployment(o.Name, part.Name))
		if err != nil {
			if o.Kind == "managed" {
				err = at(fmt.Sprintf("deployments[%d]", i), err)
			}
			return nil, err
		}
		share := o.Traffic[part.Name]
		if len(parts) == 1 && o.Traffic == nil {
			share = 100
		}
		d.front = e
		e.deployments = append(e.deployments, d)
		e.traffic = append(e.traffic, share)
		e.mirror = append(e.mirror, o.MirrorTraffic[part.Name])
		e.mirrors = e.mirrors || o.MirrorTraffic[part.Name] > 0
	}
	return e, nil
}

// Reload serves other endpoints from the next request on; those in flight end
// as they began. With an error everything stays as it was.
func (s *Server) Reload(list []Endpoint) error {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	fresh, err := s.newEndpoints(list, s.endpoints)
	if err != nil {
		return fmt.Errorf("simulator: %w", err)
	}
	paced := false
	for d := range fresh.all {
		paced = paced || d.pacer != nil
	}
	s.paced.Store(paced)
	s.mu.Lock()
	old := s.endpoints
	s.endpoints = fresh
	s.mu.Unlock()
	if old != nil {
		for d := range old.all {
			d.release()
		}
	}
	return nil
}

// current are the endpoints as they are now.
func (s *Server) current() *fronts {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.endpoints
}

// enter finds the endpoint and the deployment of a request, which the caller
// releases.
func (s *Server) enter(r *http.Request) (e *front, d *deployment, path string, bad *refusal) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	e, path = s.endpoints.find(r.Host, r.URL.Path)
	if e == nil {
		return nil, nil, path, notFound(r.URL.Path, s.endpoints.urls())
	}
	d, bad = e.choose(first(r.Header, headerDeployment), rand.IntN)
	if bad == nil {
		d.users.Add(1)
	}
	return e, d, path, bad
}

func (s *fronts) urls() []string {
	var urls []string
	for _, e := range s.list {
		urls = append(urls, "those below /"+e.name)
	}
	return urls
}

// mirror lets another deployment answer the body of a call, to nobody.
func (c *call) mirror() {
	s := c.server
	if !c.deployment.front.mirrors {
		return
	}
	s.mu.RLock()
	d := c.deployment.front.mirrored(rand.IntN)
	if d != nil {
		d.users.Add(1)
	}
	s.mu.RUnlock()
	if d == nil {
		return
	}
	m, _, found := d.site.find(c.path)
	if !found || m.route == nil || !s.mirrors.TryAcquire(1) {
		d.release()
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.context), mirrorTime)
	copied := &call{}
	d.call(copied, ctx, c.header, m, c.path, s.newID(m.route.shape.idPrefix), time.Now())
	copied.body, c.shared = c.body, true
	s.background.Go(func() {
		defer cancel()
		defer d.release()
		defer s.mirrors.Release(1)
		defer func() {
			if p := recover(); p != nil {
				s.log.Error("panic in a mirrored request", "deployment", d.name, "panic", p)
			}
		}()
		w := &nobody{header: http.Header{}}
		copied.answerTo(w, nil)
		s.log.Info("mirrored", "endpoint", d.endpoint, "deployment", d.name, "status", w.status)
	})
}

// nobody reads what is written.
type nobody struct {
	header http.Header
	status int
}

func (w *nobody) Header() http.Header { return w.header }
func (w *nobody) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}
func (w *nobody) Write(b []byte) (int, error) { w.WriteHeader(http.StatusOK); return len(b), nil }
func (w *nobody) Flush()                      {}
