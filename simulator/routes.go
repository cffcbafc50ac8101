package simulator

import "net/http"

// Routes beside those of the dialect.
const (
	healthPath = "/health"
	modelsPath = "/v1/models"
)

// serve finds the route: an unknown path is 404, a wrong method 405, a wrong
// key 401, in this order, and only then is the body read (clauses REQ-001 to
// REQ-003, AUT-008, AUT-011).
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	for i := range s.dialect.routes {
		if route := &s.dialect.routes[i]; route.path == path {
			if s.admit(w, r, http.MethodPost) {
				s.infer(w, r, route)
			}
			return
		}
	}
	switch path {
	case healthPath:
		if s.methodIs(w, r, http.MethodGet) {
			writeJSON(w, []byte(`{"status":"ok"}`))
		}
	case modelsPath:
		if s.admit(w, r, http.MethodGet) {
			writeJSON(w, s.models())
		}
	default:
		writeRefusal(w, notFound(path, s.paths()))
	}
}

// infer answers a request to an inference route.
func (s *Server) infer(w http.ResponseWriter, r *http.Request, route *route) {
	c := &call{
		server:    s,
		route:     route,
		generator: s.generator,
		log:       s.log,
		id:        route.shape.idPrefix + s.newID(),
		created:   s.clock().Unix(),
		model:     s.model,
		gone:      r.Context().Done(),
	}
	for _, arm := range s.defects {
		arm(c)
	}
	body, bad := readBody(r)
	if bad == nil {
		c.body = body
		bad = c.check()
	}
	if bad != nil {
		c.refuse(w, bad)
		return
	}
	c.respond(r.Context(), w)
}

// admit checks method and key.
func (s *Server) admit(w http.ResponseWriter, r *http.Request, method string) bool {
	if !s.methodIs(w, r, method) {
		return false
	}
	if bad := s.authorize(r); bad != nil {
		writeRefusal(w, bad)
		return false
	}
	return true
}

func (s *Server) methodIs(w http.ResponseWriter, r *http.Request, method string) bool {
	if r.Method == method || method == http.MethodGet && r.Method == http.MethodHead {
		return true
	}
	writeRefusal(w, methodNotAllowed(r.Method, r.URL.Path, method))
	return false
}

func (s *Server) paths() []string {
	paths := make([]string, 0, len(s.dialect.routes)+2)
	for _, r := range s.dialect.routes {
		paths = append(paths, "POST "+r.path)
	}
	return append(paths, "GET "+modelsPath, "GET "+healthPath)
}

// models lists the one model of the deployment.
func (s *Server) models() []byte {
	b := append([]byte(nil), `{"object":"list","data":[{"id":`...)
	b = appendString(b, s.model)
	b = append(b, `,"object":"model","created":`...)
	b = appendInt(b, int(s.started.Unix()))
	return append(b, `,"owned_by":"touchstone"}]}`...)
}

func writeJSON(w http.ResponseWriter, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body)
}
