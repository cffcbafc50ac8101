package simulator

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"
)

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
	paths    []string // as an error lists them
	// openapi makes the documents, once they are asked for, by the base below
	// which they stand.
	openapi func() (map[string][]byte, error)
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
	s.openapi = sync.OnceValues(s.describe)
	return s, nil
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

// serve finds endpoint, deployment and route: an unknown path is 404, a wrong
// method 405, a wrong key 401, in this order, then a wrong api-version 400, and
// only then is the body read (clauses REQ-001 to REQ-003, AUT-008, AUT-011).
func (s *Server) serve(w *recorder, r *http.Request) {
	if s.operate(w, r) {
		return
	}
	if s.tracing != nil {
		r = s.tracing.begin(w, r)
	}
	e, d, path, bad := s.enter(r)
	switch {
	case e == nil:
		llamaV1.writeRefusal(w, bad)
		return
	case bad != nil:
		if refused := e.authorize(r, &azureInference); refused != nil {
			bad = refused
		}
		e.deployments[0].site.dialectOf(path).writeRefusal(w, bad)
		return
	}
	defer d.release()
	if e.kind == "managed" && len(e.deployments) > 1 {
		w.Header().Set(headerDeployment, d.name)
	}
	if path != r.URL.Path {
		u := *r.URL
		u.Path = path
		below := *r
		below.URL = &u
		r = &below
	}
	a, err := d.armedFor(r)
	if err != nil {
		d.site.dialectOf(path).writeRefusal(w, invalid(codeHeader, headerDefect, "%s%s.", headerDefect, err))
		return
	}
	a.ServeHTTP(w, r)
}

// handle answers a request whose path begins at the endpoint.
func (d *deployment) handle(w http.ResponseWriter, r *http.Request) {
	e, path := d.front, r.URL.Path
	m, below, found := d.site.find(path)
	switch {
	case found && m.route != nil:
		id := d.server.newID(m.route.shape.idPrefix)
		m.dialect.nameRequest(w, r, id[len(m.route.shape.idPrefix):])
		if e.admit(w, r, m.dialect, http.MethodPost, true) {
			d.infer(w, r, m, id)
		}
	case found:
		m.dialect.nameRequest(w, r, "")
		if e.admit(w, r, m.dialect, http.MethodGet, m.page.versioned) {
			body, bad := m.page.write(d, m, below)
			if bad != nil {
				m.dialect.writeRefusal(w, bad)
				return
			}
			writeJSON(w, body)
		}
	case path == tokenizePath:
		d.tokenize(w, r)
	default:
		x := d.site.dialectOf(path)
		x.nameRequest(w, r, "")
		x.writeRefusal(w, notFound(path, d.site.paths))
	}
}

// call makes of c, which is empty, a request to an inference route of d, that
// came at begun.
func (d *deployment) call(c *call, ctx context.Context, header http.Header, m mount, path, id string, begun time.Time) {
	s := d.server
	c.server, c.deployment, c.dialect, c.route = s, d, m.dialect, m.route
	c.path, c.header, c.context = path, header, ctx
	c.generator, c.limiter, c.log = d.generator, d.limiter, s.log
	c.begun, c.id, c.created, c.model = begun, id, s.clock().Unix(), d.model
	d.breach(c)
}

// infer answers a request to an inference route.
func (d *deployment) infer(w http.ResponseWriter, r *http.Request, m mount, id string) {
	sent := recorderOf(w)
	c := &sent.own
	if sent.call != nil { // a defect has the request answered twice
		c = new(call)
	}
	sent.call = c
	d.call(c, r.Context(), r.Header, m, r.URL.Path, id, sent.begun)
	c.remote = r.RemoteAddr
	if d.server.journal != nil {
		sent.keep = mostKept
	}
	fault, due, bad := c.faultOf()
	to := w
	if due {
		if to = c.strike(fault, w); to == nil {
			return
		}
	}
	if bad == nil {
		c.body, bad = d.server.readBody(c.room.body, w, r)
		c.room.body = c.body
	}
	if bad == nil {
		c.mirror()
	}
	c.answerTo(to, bad)
}

// answerTo lets the call pass the stages, unless it is refused already, and
// answers.
func (c *call) answerTo(w http.ResponseWriter, bad *refusal) {
	if bad == nil {
		bad = c.check()
	}
	if bad != nil {
		c.refuse(w, bad)
		return
	}
	c.respond(c.context, w)
}

// admit checks method, key and version.
func (e *front) admit(w http.ResponseWriter, r *http.Request, d *dialect, method string, versioned bool) bool {
	if !methodIs(w, r, d, method) {
		return false
	}
	bad := e.authorize(r, d)
	if bad == nil && versioned {
		bad = d.checkVersion(r)
	}
	if bad != nil {
		d.writeRefusal(w, bad)
		return false
	}
	return true
}

func methodIs(w http.ResponseWriter, r *http.Request, d *dialect, method string) bool {
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
