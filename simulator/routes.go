package simulator

import (
	"net/http"
	"strings"
)

const healthPath = "/health"

// A mount is a path of a dialect that is served: an inference route or a page.
type mount struct {
	dialect *dialect
	base    string // what stands before the dialect's root
	route   *route
	page    *page
}

// A site is the paths of the dialects that a server speaks.
type site struct {
	dialects []*dialect
	mounts   map[string]mount
	paths    []string          // as an error lists them
	openapi  map[string][]byte // documents by the base below which they stand
}

// newSite puts dialects onto paths. One whose paths another has already is
// found below its base, and so is any that has a base.
func newSite(served []*dialect) (*site, error) {
	s := &site{dialects: served, mounts: map[string]mount{}}
	for _, d := range served {
		s.mount(d, s.prefix(d))
		if d.base != "" && s.prefix(d) == "" {
			s.mount(d, d.base)
		}
	}
	s.describing(served[0], "")
	s.paths = append(s.paths, "GET "+healthPath)
	return s, s.describe()
}

// prefix is what stands before the root of d: its base if another dialect that
// is served has the same root.
func (s *site) prefix(d *dialect) string {
	for _, other := range s.dialects {
		if other != d && other.root == d.root && d.base != "" {
			return d.base
		}
	}
	return ""
}

func (s *site) mount(d *dialect, prefix string) {
	for i := range d.routes {
		path := prefix + d.root + d.routes[i].path
		s.mounts[path] = mount{dialect: d, base: prefix, route: &d.routes[i]}
		s.paths = append(s.paths, "POST "+path)
	}
	for i := range d.pages {
		path := prefix + d.root + d.pages[i].path
		s.mounts[path] = mount{dialect: d, base: prefix, page: &d.pages[i]}
		s.paths = append(s.paths, "GET "+path)
	}
	if prefix != "" {
		s.describing(d, prefix)
	}
}

// describing mounts the OpenAPI documents below base.
func (s *site) describing(d *dialect, base string) {
	for i := range describing {
		path := base + describing[i].path
		s.mounts[path] = mount{dialect: d, base: base, page: &describing[i]}
		s.paths = append(s.paths, "GET "+path)
	}
}

// find returns what is mounted at path, and for a page what stands below it.
func (s *site) find(path string) (m mount, below string, ok bool) {
	if m, ok := s.mounts[path]; ok {
		return m, "", true
	}
	for at := strings.LastIndexByte(path, '/'); at > 0; at = strings.LastIndexByte(path[:at], '/') {
		if m, ok := s.mounts[path[:at]]; ok && m.page != nil && m.page.below && at+1 < len(path) {
			return m, path[at+1:], true
		}
	}
	return mount{}, "", false
}

// dialectOf is the dialect that refuses a path: the one whose paths begin most
// like it.
func (s *site) dialectOf(path string) *dialect {
	nearest, length := s.dialects[0], -1
	for _, d := range s.dialects {
		prefix := s.prefix(d) + d.root
		if len(prefix) > length && (path == prefix || strings.HasPrefix(path, prefix+"/")) {
			nearest, length = d, len(prefix)
		}
	}
	return nearest
}

// serve finds the route: an unknown path is 404, a wrong method 405, a wrong
// key 401, in this order, then a wrong api-version 400, and only then is the
// body read (clauses REQ-001 to REQ-003, AUT-008, AUT-011).
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	m, below, found := s.site.find(path)
	switch {
	case found && m.route != nil:
		id := s.newID()
		m.dialect.nameRequest(w, r, id)
		if s.admit(w, r, m.dialect, http.MethodPost, true) {
			s.infer(w, r, m, id)
		}
	case found:
		m.dialect.nameRequest(w, r, "")
		if s.admit(w, r, m.dialect, http.MethodGet, m.page.versioned) {
			body, bad := m.page.write(s, m, below)
			if bad != nil {
				m.dialect.writeRefusal(w, bad)
				return
			}
			writeJSON(w, body)
		}
	case path == healthPath:
		if s.methodIs(w, r, s.site.dialects[0], http.MethodGet) {
			writeJSON(w, []byte(`{"status":"ok"}`))
		}
	default:
		d := s.site.dialectOf(path)
		d.nameRequest(w, r, "")
		d.writeRefusal(w, notFound(path, s.site.paths))
	}
}

// infer answers a request to an inference route.
func (s *Server) infer(w http.ResponseWriter, r *http.Request, m mount, id string) {
	c := &call{
		server:    s,
		dialect:   m.dialect,
		route:     m.route,
		header:    r.Header,
		generator: s.generator,
		log:       s.log,
		id:        m.route.shape.idPrefix + id,
		created:   s.clock().Unix(),
		model:     s.model,
		context:   r.Context(),
		gone:      r.Context().Done(),
		limiter:   s.limiter,
		filter:    s.filter,
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

// admit checks method, key and version.
func (s *Server) admit(w http.ResponseWriter, r *http.Request, d *dialect, method string, versioned bool) bool {
	if !s.methodIs(w, r, d, method) {
		return false
	}
	bad := s.authorize(r, d)
	if bad == nil && versioned {
		bad = d.checkVersion(r)
	}
	if bad != nil {
		d.writeRefusal(w, bad)
		return false
	}
	return true
}

func (s *Server) methodIs(w http.ResponseWriter, r *http.Request, d *dialect, method string) bool {
	if r.Method == method || method == http.MethodGet && r.Method == http.MethodHead {
		return true
	}
	d.writeRefusal(w, methodNotAllowed(r.Method, r.URL.Path, method))
	return false
}

func writeJSON(w http.ResponseWriter, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body)
}
