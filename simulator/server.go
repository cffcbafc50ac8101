package simulator

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/semaphore"

	"github.com/touchstone-llm/touchstone/engine"
)

// Options say what a [Server] serves: one deployment, or Endpoints.
type Options struct {
	// Engine runs the model that answers.
	Engine *engine.Engine
	// Generator answers in place of Engine, if it is not nil.
	Generator Generator
	// ModelName is the model of every response; "" is the name in the weights.
	ModelName string
	// ModelAliases are further names of it, as [Settings] has them.
	ModelAliases []string
	// Keys open the endpoint: at most two. Without any, authentication is off,
	// and a warning says so.
	Keys []string
	// Dialects are names from [Dialects], the APIs to speak; none is all.
	Dialects []string
	// Quota bounds tokens and requests; the zero value bounds nothing.
	Quota Quota
	// Safety screens prompts and completions; the zero value does.
	Safety Safety
	// Latency is simulated; the zero value is the engine's own.
	Latency Latency
	// Faults happen as in real life.
	Faults []Fault
	// Defects are names from [Defects], or entries as [CheckDefects] takes
	// them: the server breaks the contract in these ways and no others.
	Defects []string
	// DefectSeed decides which requests a defect with a probability hits.
	DefectSeed uint64

	// Deployments are further ones, which the header azureml-model-deployment
	// chooses; without a Generator they have that of the first, with its model
	// name and dialects.
	Deployments []Deployment

	// Endpoints, if any, are served in place of what the fields above say.
	Endpoints []Endpoint

	// FaultHeader lets the headers X-Touchstone-Fault and X-Touchstone-Defect of
	// a request ask for them.
	FaultHeader bool
	// Journal is how many exchanges are kept for [Server.Journal]; 0 keeps none.
	Journal int
	// AdminKey opens the pages below /_touchstone/. Without it they are open to
	// this machine alone.
	AdminKey string
	// Redis is the URL of a Redis that holds the quotas, so that replicas share
	// them; "" holds them in memory.
	Redis string
	// BodyTime is how long a client may take to send its body; 0 is no limit.
	BodyTime time.Duration
	// MaxConcurrent bounds the requests that are handled at a time; one more is
	// refused with 503. 0 is no limit.
	MaxConcurrent int
	// Logger takes one record for each request, without its text or key; nil
	// takes none.
	Logger *slog.Logger
	// LogBodies adds the bodies of requests to the records.
	LogBodies bool
	// Tracer makes a span for each request to an endpoint; nil makes none.
	// [NewTracerProvider] makes one that sends them.
	Tracer trace.TracerProvider
	// TracePrompts puts the text of prompts and answers into the spans.
	TracePrompts bool
	// Clock tells the time; nil is [time.Now].
	Clock func() time.Time
}

// A Server is the reference endpoint: deployments that speak the dialects it
// was given. It is an [http.Handler] and safe for concurrent use.
type Server struct {
	log         *slog.Logger
	logBodies   bool
	clock       func() time.Time
	newID       func(prefix string) string
	wait        func(gone <-chan struct{}, d time.Duration) // used by defects and faults alone
	started     time.Time
	faultHeader bool
	bodyTime    time.Duration
	adminKey    keyring
	newMeter    func(name string) meter
	metrics     *metrics
	tracing     *tracing // nil: none
	journal     *journal
	places      *semaphore.Weighted // nil: no limit
	mirrors     *semaphore.Weighted
	background  sync.WaitGroup // mirrored requests
	paced       atomic.Bool    // some deployment simulates latency
	live        feed

	reloading sync.Mutex // held while endpoints are made
	mu        sync.RWMutex
	endpoints *fronts
	draining  bool
}

const (
	mostMirrors = 64
	mirrorTime  = 5 * time.Minute
)

// theOne is the name of the endpoint that Options describe by themselves.
const theOne = "default"

// New returns a server, or an error that names the option that is wrong.
func New(o Options) (*Server, error) {
	s := &Server{
		log:         o.Logger,
		logBodies:   o.LogBodies,
		clock:       o.Clock,
		newID:       newUUID,
		wait:        wait,
		faultHeader: o.FaultHeader,
		bodyTime:    o.BodyTime,
		journal:     newJournal(o.Journal),
		mirrors:     semaphore.NewWeighted(mostMirrors),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.clock == nil {
		s.clock = time.Now
	}
	s.started = s.clock()
	if o.AdminKey != "" {
		s.adminKey = newKeyring([]string{o.AdminKey})
	}
	if o.MaxConcurrent > 0 {
		s.places = semaphore.NewWeighted(int64(o.MaxConcurrent))
	}
	s.newMeter = func(string) meter { return newMemory(s.clock) }
	if o.Redis != "" {
		var err error
		if s.newMeter, err = redisMeters(o.Redis); err != nil {
			return nil, fmt.Errorf("simulator: Options.Redis: %w", err)
		}
	}
	s.metrics = newMetrics(s)
	if o.Tracer != nil {
		s.tracing = newTracing(o.Tracer, o.TracePrompts)
	}
	list := o.Endpoints
	if list == nil {
		one, err := o.endpoint()
		if err != nil {
			return nil, fmt.Errorf("simulator: %w", err)
		}
		list = []Endpoint{one}
	}
	if err := s.Reload(list); err != nil {
		return nil, err
	}
	return s, nil
}

// endpoint is the one that the options describe by themselves. Its errors name
// the options.
func (o Options) endpoint() (Endpoint, error) {
	e := Endpoint{Name: theOne, Kind: "managed", Deployments: []Deployment{{Name: theOne, Settings: Settings{
		ModelName: o.ModelName, ModelAliases: o.ModelAliases, Dialects: o.Dialects, Quota: o.Quota, ContentSafety: o.Safety,
		Latency: o.Latency, Faults: o.Faults, Defects: o.Defects, DefectSeed: o.DefectSeed, Generator: o.Generator,
	}}}}
	settings := &e.Deployments[0].Settings
	if settings.Generator == nil {
		if o.Engine == nil {
			return e, errors.New("Options.Engine is nil; give an engine or a generator")
		}
		settings.Generator = Local(o.Engine)
	}
	first := *settings
	for _, d := range o.Deployments {
		if d.Generator == nil {
			d.Generator, d.ModelName, d.ModelAliases, d.Dialects = first.Generator, first.ModelName, first.ModelAliases, first.Dialects
		}
		e.Deployments = append(e.Deployments, d)
		e.Traffic = map[string]int{theOne: 100}
	}
	if len(o.Keys) > 2 {
		return e, fmt.Errorf("Options.Keys: an endpoint has at most two, got %d", len(o.Keys))
	}
	for i, k := range o.Keys {
		if !usable(k) {
			return e, errors.New("Options.Keys: a key is empty or holds spaces or control characters; such a key cannot be sent as a Bearer token")
		}
		*[]*Key{&e.Keys.Primary, &e.Keys.Secondary}[i] = Key{value: k}
	}
	for _, x := range []struct {
		name string
		err  error
	}{
		{"Dialects", func() error { _, err := named(o.Dialects); return err }()},
		{"Quota", o.Quota.validate()}, {"Safety", o.Safety.validate()}, {"Latency", o.Latency.validate()},
	} {
		if x.err != nil {
			return e, fmt.Errorf("simulator: Options.%s: %w", x.name, x.err)
		}
	}
	return e, at("Options.Defects", CheckDefects(o.Defects))
}

// wait waits for d, or until the client has gone.
func wait(gone <-chan struct{}, d time.Duration) {
	select {
	case <-gone:
	case <-time.After(d):
	}
}

// Drain makes /readyz say that no more requests are wanted, and refuses none.
func (s *Server) Drain() {
	s.mu.Lock()
	s.draining = true
	s.mu.Unlock()
}

// Close waits for what goes on behind the requests, and closes the deployments.
// The caller has ended the requests.
func (s *Server) Close() {
	s.background.Wait()
	for d := range s.current().all {
		d.release()
	}
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	begun := time.Now()
	if s.paced.Load() {
		begun = arrival(r.Context(), begun)
	}
	sent := recorders.Get().(*recorder)
	sent.ResponseWriter, sent.begun = w, begun
	defer func() {
		p := recover()
		panicked := p != nil
		if p != nil && p != http.ErrAbortHandler {
			s.log.Error("panic", "method", r.Method, "path", r.URL.Path, "panic", p)
			if sent.status == 0 {
				llamaV1.writeRefusal(sent, internal())
				p = nil
			} else {
				p = http.ErrAbortHandler // the answer is broken, so is the connection
			}
		}
		s.finished(sent, r, p != nil)
		if p != nil {
			panic(p)
		}
		if !panicked {
			sent.release()
		}
	}()
	if s.places != nil {
		if !s.places.TryAcquire(1) {
			bad := refuse(http.StatusServiceUnavailable, "overloaded", "The server handles as many requests as it may; try again.")
			bad.kind = "server_error"
			bad.header = http.Header{"Retry-After": {"1"}}
			llamaV1.writeRefusal(sent, bad)
			return
		}
		defer s.places.Release(1)
	}
	s.serve(sent, r)
}

// finished reports a request that is over.
func (s *Server) finished(sent *recorder, r *http.Request, broken bool) {
	if sent.quiet {
		return
	}
	if sent.span != nil {
		s.tracing.end(sent, r, broken)
	}
	took := time.Since(sent.begun)
	s.metrics.request(sent, took)
	s.journal.add(sent, r, took, broken)
	s.live.tell(sent, r, took, broken)
	if !s.log.Enabled(r.Context(), slog.LevelInfo) {
		return
	}
	attributes := []any{"method", r.Method, "path", clip(r.URL.Path), "status", sent.status, "bytes", sent.bytes, "took", took}
	if c := sent.call; c != nil {
		attributes = append(attributes, "id", c.id, "endpoint", c.deployment.endpoint, "deployment", c.deployment.name,
			"prompt_tokens", c.promptTokens(), "completion_tokens", c.completionTokens())
		if s.logBodies {
			attributes = append(attributes, "request", string(c.body))
		}
	}
	if broken {
		attributes = append(attributes, "broken", true)
	}
	s.log.Info("request", attributes...)
}

// A recorder remembers what was sent, for log, metrics and journal.
type recorder struct {
	http.ResponseWriter
	begun  time.Time
	status int
	bytes  int64
	call   *call      // of an inference route, once it is known
	quiet  bool       // health, metrics and the admin's pages are not reported
	keep   int        // how much of the body is kept
	kept   []byte     // its beginning
	span   trace.Span // nil: none
	own    call       // what call points to
}

func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	if left := r.keep - len(r.kept); left > 0 {
		r.kept = append(r.kept, b[:min(left, len(b))]...)
	}
	n, err := r.ResponseWriter.Write(b)
	r.bytes += int64(n)
	return n, err
}

// recorderOf finds the recorder below w: whatever stands between unwraps.
func recorderOf(w http.ResponseWriter) *recorder {
	for {
		if r, ok := w.(*recorder); ok {
			return r
		}
		u, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return nil
		}
		w = u.Unwrap()
	}
}
