package simulator

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// The paths that belong to no endpoint.
const (
	healthPath  = "/health"
	healthzPath = "/healthz"
	readyPath   = "/readyz"
	metricsPath = "/metrics"
	adminPath   = "/_touchstone/"
)

// operate answers the paths of operations. It says whether this was one.
func (s *Server) operate(w *recorder, r *http.Request) bool {
	switch path := r.URL.Path; {
	case path == healthPath || path == healthzPath:
		w.quiet = true
		if methodIs(w, r, &llamaV1, http.MethodGet) {
			writeJSON(w, []byte(`{"status":"ok"}`))
		}
	case path == readyPath:
		w.quiet = true
		if methodIs(w, r, &llamaV1, http.MethodGet) {
			s.ready(w)
		}
	case path == metricsPath:
		w.quiet = true
		s.metrics.handler.ServeHTTP(w, r)
	case strings.HasPrefix(path, adminPath) || path == strings.TrimSuffix(adminPath, "/"):
		w.quiet = true
		s.admin(w, r)
	default:
		return false
	}
	return true
}

func (s *Server) ready(w http.ResponseWriter) {
	s.mu.RLock()
	draining := s.draining
	s.mu.RUnlock()
	if draining {
		llamaV1.writeRefusal(w, refuse(http.StatusServiceUnavailable, "draining", "The server is about to end."))
		return
	}
	writeJSON(w, []byte(`{"status":"ready"}`))
}

// admin answers the pages below /_touchstone/.
func (s *Server) admin(w http.ResponseWriter, r *http.Request) {
	if bad := s.authorizeAdmin(r); bad != nil {
		llamaV1.writeRefusal(w, bad)
		return
	}
	s.adminMux().ServeHTTP(w, r)
}

// authorizeAdmin wants the admin's key, where there is one. Otherwise the pages
// are for this machine alone, and for no other site's script in its browser.
func (s *Server) authorizeAdmin(r *http.Request) *refusal {
	if s.adminKey != nil {
		key, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !bearer {
			_, key, _ = r.BasicAuth()
		}
		if !s.adminKey.holds(key) {
			bad := unauthorized("Send the admin's key: Authorization: Bearer KEY, or as the password of Basic.")
			bad.header = http.Header{"Www-Authenticate": {`Basic realm="touchstone admin"`}}
			return bad
		}
	} else {
		peer, _, _ := net.SplitHostPort(r.RemoteAddr)
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		if !loopback(peer) || !loopback(host) {
			return refuse(http.StatusForbidden, "forbidden", "These pages are open to this machine alone; set an admin's key to open them to others.")
		}
	}
	if origin := r.Header.Get("Origin"); origin != "" && r.Method != http.MethodGet && !strings.HasSuffix(origin, "://"+r.Host) {
		return refuse(http.StatusForbidden, "forbidden", "A page of another site may not change this server.")
	}
	return nil
}

func loopback(host string) bool {
	host = strings.Trim(host, "[]")
	ip := net.ParseIP(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && ip.IsLoopback()
}

func (s *Server) adminMux() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+adminPath+"{$}", s.page)
	mux.HandleFunc("GET "+adminPath+"state", func(w http.ResponseWriter, r *http.Request) { writeAsJSON(w, s.State()) })
	mux.HandleFunc("GET "+adminPath+"events", s.events)
	mux.HandleFunc("GET "+adminPath+"journal", func(w http.ResponseWriter, r *http.Request) {
		if s.journal == nil {
			llamaV1.writeRefusal(w, refuse(http.StatusNotFound, "no_journal", "No journal is kept; start with --journal N."))
			return
		}
		writeAsJSON(w, s.Journal())
	})
	mux.HandleFunc("DELETE "+adminPath+"journal", func(w http.ResponseWriter, r *http.Request) {
		s.ClearJournal()
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("PUT "+adminPath+"endpoints/{endpoint}/deployments/{deployment}/faults", func(w http.ResponseWriter, r *http.Request) {
		var list []Fault
		s.change(w, r, &list, func(d *deployment) error {
			for i, f := range list {
				if err := f.validate(); err != nil {
					return at(fmt.Sprintf("[%d]", i), err)
				}
			}
			d.faults.Store(newFaults(list))
			return nil
		})
	})
	mux.HandleFunc("PUT "+adminPath+"endpoints/{endpoint}/deployments/{deployment}/defects", func(w http.ResponseWriter, r *http.Request) {
		var names []string
		s.change(w, r, &names, func(d *deployment) error { return at("defects", d.setDefects(names)) })
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		llamaV1.writeRefusal(w, notFound(r.URL.Path, []string{"GET " + adminPath, "GET " + adminPath + "state", "GET " + adminPath + "events",
			"GET and DELETE " + adminPath + "journal", "PUT " + adminPath + "endpoints/NAME/deployments/NAME/faults", "PUT …/defects"}))
	})
	return mux
}

// change reads a JSON body into to and lets set apply it: all of it, or nothing.
// The requests in flight are not touched. The answer is the state.
func (s *Server) change(w http.ResponseWriter, r *http.Request, to any, set func(*deployment) error) {
	d := s.current().deployment(r.PathValue("endpoint"), r.PathValue("deployment"))
	if d == nil {
		llamaV1.writeRefusal(w, refuse(http.StatusNotFound, "deployment_not_found", "There is no deployment %s of an endpoint %s.",
			clip(r.PathValue("deployment")), clip(r.PathValue("endpoint"))))
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, mostKept))
	if err == nil {
		err = json.Unmarshal(body, to)
	}
	if err == nil {
		err = set(d)
	}
	if err != nil {
		llamaV1.writeRefusal(w, invalid(codeBody, "", "%s", err))
		return
	}
	s.log.Info("changed", "path", r.URL.Path)
	writeAsJSON(w, s.State())
}

func writeAsJSON(w http.ResponseWriter, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		llamaV1.writeRefusal(w, internal())
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, b)
}

// A State is what a server does now.
type State struct {
	Started   time.Time       `json:"started"`
	Draining  bool            `json:"draining"`
	Endpoints []EndpointState `json:"endpoints"`
}

// An EndpointState is one endpoint of a [State].
type EndpointState struct {
	Name        string            `json:"name"`
	Kind        string            `json:"kind"`
	Keys        int               `json:"keys"` // how many open it
	Deployments []DeploymentState `json:"deployments"`
}

// A DeploymentState is one deployment of a [State].
type DeploymentState struct {
	Name     string       `json:"name"`
	Model    string       `json:"model"`
	Dialects []string     `json:"dialects"`
	Context  int          `json:"context_length"`
	Traffic  int          `json:"traffic"`
	Mirror   int          `json:"mirror_traffic"`
	Running  int64        `json:"running"`
	Waiting  int64        `json:"waiting"`
	Quota    []QuotaState `json:"quota"`
	Safety   bool         `json:"content_safety"`
	Faults   []Fault      `json:"faults"`
	Defects  []string     `json:"defects"`
}

// A QuotaState is what is left of "tokens" or "requests".
type QuotaState struct {
	Of        string  `json:"of"`
	Limit     int     `json:"limit"`
	Remaining int     `json:"remaining"`
	Reset     float64 `json:"reset_s"` // seconds until more is left
}

// State returns what the server does now.
func (s *Server) State() State {
	s.mu.RLock()
	state := State{Started: s.started, Draining: s.draining, Endpoints: []EndpointState{}}
	now := s.endpoints
	s.mu.RUnlock()
	for _, e := range now.list {
		kind := e.kind
		if kind == "" {
			kind = "serverless"
		}
		es := EndpointState{Name: e.name, Kind: kind, Keys: len(e.keys)}
		for i, d := range e.deployments {
			ds := DeploymentState{
				Name: d.name, Model: d.model, Context: d.generator.Config().ContextLength, Traffic: e.traffic[i], Mirror: e.mirror[i],
				Running: d.running.Load(), Waiting: d.places.queued(), Quota: d.quotaState(), Safety: d.filter != nil,
				Faults: append([]Fault{}, d.faults.Load().list...), Defects: append([]string{}, d.defects.Load().entries...),
			}
			for _, x := range d.site.dialects {
				ds.Dialects = append(ds.Dialects, x.name)
			}
			es.Deployments = append(es.Deployments, ds)
		}
		state.Endpoints = append(state.Endpoints, es)
	}
	return state
}

// An event is a request that is over, as the live page shows it.
type event struct {
	At         time.Time `json:"at"`
	Method     string    `json:"method"`
	Path       string    `json:"path"`
	Endpoint   string    `json:"endpoint"`
	Deployment string    `json:"deployment"`
	Status     int       `json:"status"`
	Took       float64   `json:"took_s"`
	Prompt     int       `json:"prompt_tokens"`
	Generated  int       `json:"completion_tokens"`
	Broken     bool      `json:"broken"`
}

// A feed tells listeners of requests. One that is slow misses some.
type feed struct {
	mu        sync.Mutex
	listeners map[chan event]bool
}

func (f *feed) tell(sent *recorder, r *http.Request, took time.Duration, broken bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.listeners) == 0 {
		return
	}
	e := event{At: sent.begun, Method: r.Method, Path: clip(r.URL.Path), Status: sent.status, Took: took.Seconds(), Broken: broken}
	if c := sent.call; c != nil {
		e.Endpoint, e.Deployment, e.Prompt, e.Generated = c.deployment.endpoint, c.deployment.name, c.promptTokens(), c.completionTokens()
	}
	for l := range f.listeners {
		select {
		case l <- e:
		default:
		}
	}
}

func (f *feed) listen() chan event {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := make(chan event, 64)
	if f.listeners == nil {
		f.listeners = map[chan event]bool{}
	}
	f.listeners[l] = true
	return l
}

func (f *feed) leave(l chan event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.listeners, l)
}

// events streams requests as they end, and the state each second.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	l := s.live.listen()
	defer s.live.leave(l)
	w.Header().Set("Content-Type", eventStream)
	w.Header().Set("Cache-Control", "no-store")
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	flush := http.NewResponseController(w)
	send := func(name string, v any) bool {
		b, err := json.Marshal(v)
		if err == nil {
			_, err = fmt.Fprintf(w, "event: %s\ndata: %s\n\n", name, b)
		}
		return err == nil && flush.Flush() == nil
	}
	for ok := send("state", s.State()); ok; {
		select {
		case e := <-l:
			ok = send("request", e)
		case <-tick.C:
			ok = send("state", s.State())
		case <-r.Context().Done():
			return
		}
	}
}
