package simulator

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/touchstone-llm/touchstone/engine"
)

// Options say what a [Server] serves.
type Options struct {
	// Engine runs the model that answers.
	Engine *engine.Engine
	// Generator answers in place of Engine, if it is not nil.
	Generator Generator
	// ModelName is the model of every response; "" is the name in the weights.
	ModelName string
	// Keys open the endpoint. Without any, authentication is off, and a
	// warning says so.
	Keys []string
	// Quota bounds tokens and requests; the zero value bounds nothing.
	Quota Quota
	// Safety screens prompts and completions; the zero value does.
	Safety Safety
	// Defects are names from [Defects]: the server breaks the contract in
	// these ways and no others.
	Defects []string
	// Dialects are names from [Dialects] of the APIs to speak; empty means all.
	// llama-v1 and openai have the same paths: served together, openai is
	// below /openai, where it also is when alone.
	Dialects []string
	// Logger takes one record for each request, without its text or key; nil
	// takes none.
	Logger *slog.Logger
	// Clock tells the time; nil is [time.Now].
	Clock func() time.Time
}

// A Server is the reference endpoint: a deployment of one model that speaks
// one or more dialects. It is an [http.Handler] and safe for concurrent use.
type Server struct {
	generator Generator
	model     string
	keys      keyring
	limiter   *limiter // nil: no quota
	filter    *filter  // nil: nothing is screened
	defects   []arming
	handler   http.Handler // serve, with the defects that stand around it
	log       *slog.Logger
	clock     func() time.Time
	newID     func() string
	wait      func(gone <-chan struct{}, d time.Duration) // used by defects alone
	started   time.Time
	site      *site
	// fingerprint tells OpenAI's clients which system answered: the same for
	// the same model (DET-009).
	fingerprint string
}

// New returns a server, or an error that names the option that is wrong.
func New(o Options) (*Server, error) {
	s := &Server{
		generator: o.Generator,
		model:     o.ModelName,
		keys:      newKeyring(o.Keys),
		log:       o.Logger,
		clock:     o.Clock,
		newID:     newUUID,
		wait:      wait,
	}
	if s.generator == nil {
		if o.Engine == nil {
			return nil, errors.New("simulator: Options.Engine is nil; give an engine or a generator")
		}
		s.generator = local{o.Engine}
	}
	for _, k := range o.Keys {
		if !usable(k) {
			return nil, errors.New("simulator: Options.Keys: a key is empty or holds spaces or control characters; such a key cannot be sent as a Bearer token")
		}
	}
	if s.model == "" {
		s.model = s.generator.Config().Name
	}
	if s.model == "" {
		s.model = "model"
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.clock == nil {
		s.clock = time.Now
	}
	s.started = s.clock()
	sum := sha256.Sum256([]byte(s.model))
	s.fingerprint = fmt.Sprintf("fp_%x", sum[:5])
	served, err := named(o.Dialects)
	if err != nil {
		return nil, err
	}
	if s.site, err = newSite(served); err != nil {
		return nil, err
	}
	if err := o.Quota.validate(); err != nil {
		return nil, fmt.Errorf("simulator: Options.Quota: %w", err)
	}
	s.limiter = newLimiter(o.Quota, newMemory(s.clock), s.clock)
	if err := o.Safety.validate(); err != nil {
		return nil, fmt.Errorf("simulator: Options.Safety: %w", err)
	}
	s.filter = newFilter(o.Safety)
	if s.defects, s.handler, err = arm(o.Defects, http.HandlerFunc(s.serve)); err != nil {
		return nil, err
	}
	if len(o.Keys) == 0 {
		s.log.Warn("no key is set: authentication is off")
	}
	return s, nil
}

// wait waits for d, or until the client has gone.
func wait(gone <-chan struct{}, d time.Duration) {
	select {
	case <-gone:
	case <-time.After(d):
	}
}

// usable says whether a key can be sent as a Bearer token.
func usable(key string) bool {
	for i := range len(key) {
		if key[i] <= ' ' || key[i] == 0x7f {
			return false
		}
	}
	return key != ""
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	begun := time.Now()
	sent := &recorder{ResponseWriter: w}
	defer func() {
		p := recover()
		if p != nil && p != http.ErrAbortHandler {
			s.log.Error("panic", "method", r.Method, "path", r.URL.Path, "panic", p)
			if sent.status == 0 {
				s.site.dialectOf(r.URL.Path).writeRefusal(sent, internal())
				p = nil
			} else {
				p = http.ErrAbortHandler // the answer is broken, so is the connection
			}
		}
		s.log.Info("request", "method", r.Method, "path", clip(r.URL.Path), "status", sent.status, "bytes", sent.bytes, "took", time.Since(begun))
		if p != nil {
			panic(p)
		}
	}()
	s.handler.ServeHTTP(sent, r)
}

// A recorder remembers what was sent, for the log.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
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
	n, err := r.ResponseWriter.Write(b)
	r.bytes += int64(n)
	return n, err
}
