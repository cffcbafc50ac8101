package simulator

import (
	"context"
	"net/http"
	"strings"
	"sync"
)

// armed are the defects of a deployment, in force.
type armed struct {
	deployment *deployment
	entries    []string
	breaches   []armedBreach
	handler    http.Handler // the deployment, with the defects that stand around it
}

type armedBreach struct {
	breach
	*lot
	arm arming // nil for a defect that only stands around
}

// arm starts the defects of a list of entries.
func (d *deployment) arm(entries []string) (*armed, error) {
	list, err := parseBreaches(entries)
	if err != nil {
		return nil, err
	}
	a := &armed{deployment: d, handler: http.HandlerFunc(d.handle)}
	for i, b := range list {
		one := armedBreach{breach: b, lot: newLot(d.defectSeed, b)}
		if b.Defect.arm != nil {
			one.arm = b.Defect.arm()
		}
		if b.around != nil {
			whole, broken := a.handler, b.around(a.handler)
			a.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if a.hit(r.Context(), r.URL.Path)[i] {
					broken.ServeHTTP(w, r)
				} else {
					whole.ServeHTTP(w, r)
				}
			})
		}
		a.breaches = append(a.breaches, one)
		a.entries = append(a.entries, b.String())
	}
	return a, nil
}

// setDefects replaces the defects for the requests to come.
func (d *deployment) setDefects(entries []string) error {
	a, err := d.arm(entries)
	if err != nil {
		return err
	}
	d.defects.Store(a)
	return nil
}

// hits says which breaches of a request's deployment hit it.
type hits struct {
	of  *armed
	hit []bool
}

type hitsKey struct{}

// ServeHTTP answers a request with the defects that hit it: drawn once, for what
// stands around the server and for what reaches into the call.
func (a *armed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if len(a.breaches) > 0 {
		r = r.WithContext(context.WithValue(r.Context(), hitsKey{}, hits{a, a.draw(r.URL.Path)}))
	}
	a.handler.ServeHTTP(w, r)
}

// draw says which breaches hit the next request to a path.
func (a *armed) draw(path string) []bool {
	route := ""
	if m, _, ok := a.deployment.site.find(path); ok && m.route != nil {
		route = m.route.name
	}
	hit := make([]bool, len(a.breaches))
	for i, b := range a.breaches {
		hit[i] = (b.route == "" || b.route == route) && b.hits(b.probability)
	}
	return hit
}

// hit is what was drawn for a request, or is drawn now.
func (a *armed) hit(ctx context.Context, path string) []bool {
	if h, ok := ctx.Value(hitsKey{}).(hits); ok && h.of == a {
		return h.hit
	}
	return a.draw(path)
}

// breach lets the defects that hit a call reach into it.
func (d *deployment) breach(c *call) {
	a := d.defects.Load()
	if h, ok := c.context.Value(hitsKey{}).(hits); ok && h.of.deployment == d {
		a = h.of // of the request, also when they were replaced meanwhile
	}
	if len(a.breaches) == 0 {
		return
	}
	c.shared = true // a defect may remember it
	hit := a.hit(c.context, c.path)
	for i, b := range a.breaches {
		if !hit[i] || b.arm == nil {
			continue
		}
		before := c.hooks
		c.hooks = hooks{}
		b.arm(c)
		before.add(b.within(c.hooks))
		c.hooks = before
	}
}

// headerDefect asks for defects in one request, where the server allows it, in
// place of those of the deployment: entries with commas between them.
const headerDefect = "X-Touchstone-Defect"

// mostWishes are how many values of the header a deployment keeps in force, so
// that what a defect remembers between calls is there for the next.
const mostWishes = 64

type wishes struct {
	mu    sync.Mutex
	armed map[string]*armed
}

// armedFor are the defects of a request: those of its header, or of d.
func (d *deployment) armedFor(r *http.Request) (*armed, error) {
	header := first(r.Header, headerDefect)
	if header == "" || !d.server.faultHeader {
		return d.defects.Load(), nil
	}
	d.wished.mu.Lock()
	defer d.wished.mu.Unlock()
	if a := d.wished.armed[header]; a != nil {
		return a, nil
	}
	a, err := d.arm(strings.Split(header, ","))
	if err != nil {
		return nil, err
	}
	if d.wished.armed == nil || len(d.wished.armed) >= mostWishes {
		d.wished.armed = map[string]*armed{}
	}
	d.wished.armed[header] = a
	return a, nil
}
