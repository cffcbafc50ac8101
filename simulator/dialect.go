package simulator

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"

	"github.com/touchstone-llm/touchstone/engine"
)

// A dialect is an API as a table: routes, their parameters with type, default
// and range, and the shapes of answers and errors.
type dialect struct {
	name string
	// root begins the paths of all routes. base goes before it where another
	// dialect that is served has the same paths, and works in any case.
	root, base string
	routes     []route
	pages      []page
	// refusals is how the dialect says no.
	refusals refusalShape
	// apiKey lets the header api-key open it, beside Authorization (AUT-006).
	apiKey bool
	// requestIDs names each request in headers, and gives back the name that
	// the client chose (RSP-024, RSP-025).
	requestIDs bool
	// versions are what the query parameter api-version may be; without any it
	// has no meaning, with them it is needed (VER-001 to VER-004).
	versions []string
	// choosesModel says that the parameter model must name one that is there.
	choosesModel bool
	// annotates writes what content safety found beside prompts and choices;
	// marksFailure says by finish_reason that it could not look (conflict C21).
	annotates, marksFailure bool
	// guards refuse combinations of parameters, in the order of the contract.
	guards []guard
}

// A route is an inference route.
type route struct {
	name       string // "completions" or "chat"
	path       string
	parameters []parameter
	shape      shape
	// context and respond take the place of the stages of those names where
	// nothing is generated; nil for the usual ones.
	context func(*call) *refusal
	respond func(*call, context.Context, http.ResponseWriter)
	// usual is what the fallbacks of the parameters ask of the engine.
	usual engine.Request
	// places are the rows by their names, from 1: at placeOf, or behind it.
	places [4 * mostRows]uint8
	// extras lets the header extra-parameters decide on parameters that are
	// marked as extra or have no row (EXT-001 to EXT-014).
	extras bool
}

// A page is a document that the dialect answers GET with.
type page struct {
	path string
	// below serves the paths below it too.
	below bool
	// versioned needs the api-version, if the dialect has one.
	versioned bool
	write     func(d *deployment, m mount, below string) ([]byte, *refusal)
}

// parameter returns the row of name.
func (r *route) parameter(name string) (*parameter, bool) {
	if i := r.row(name); i >= 0 {
		return &r.parameters[i], true
	}
	return nil, false
}

// row is the index of name in the table, -1 for none.
func (r *route) row(name string) int {
	for at := r.placeOf(name); r.places[at] > 0; at = (at + 1) % len(r.places) {
		if i := int(r.places[at]) - 1; r.parameters[i].name == name {
			return i
		}
	}
	return -1
}

func (r *route) placeOf(name string) int {
	if name == "" {
		return 0
	}
	return (int(name[0])*5 + int(name[len(name)-1])*3 + len(name)) % len(r.places)
}

// mostRows is how many parameters a route may have.
const mostRows = 48

// What the defaults of each route come to, and which guards look at what, made
// once.
func init() {
	for _, d := range dialects {
		for i := range d.routes {
			r := &d.routes[i]
			usual := values{route: r}
			for i := range r.parameters {
				p := &r.parameters[i]
				for j, g := range d.guards {
					if slices.Contains(g.of, p.name) {
						p.guards |= 1 << j
					}
				}
				at := r.placeOf(p.name)
				for r.places[at] > 0 {
					at = (at + 1) % len(r.places)
				}
				r.places[at] = uint8(i + 1)
				if p.fallback != nil {
					usual.fill(p.name, p.fallback)
				}
			}
			r.usual = usual.ask(engine.Request{})
		}
	}
}

// input is the row of what is to be answered: the prompt or the messages.
func (r *route) input() parameter { return r.parameters[0] }

// A parameter is a row of a dialect's request table.
type parameter struct {
	name string
	kind kind
	// required parameters must be there and not be null; to the others null
	// means absent (clauses REQ-023, DET-004).
	required bool
	// fallback is the value of an absent parameter; nil leaves it absent.
	fallback any
	// capped lowers the fallback to what fits in the context.
	capped bool
	// bounds hold for the value, or for each element of a list.
	bounds []bound
	// most is how many elements a list may have.
	most int
	// extra parameters are known to the model, not to the dialect: the header
	// extra-parameters decides on them.
	extra bool
	// guards are those of the dialect that look at it, as bits; they are found
	// when the program starts.
	guards uint64
}

// rows returns the rows of these names, in this order.
func rows(table []parameter, names ...string) []parameter {
	picked := make([]parameter, len(names))
	for i, name := range names {
		at := slices.IndexFunc(table, func(p parameter) bool { return p.name == name })
		if at < 0 {
			panic("simulator: no parameter " + name)
		}
		picked[i] = table[at]
	}
	return picked
}

// extra returns rows marked as extra.
func extra(list []parameter) []parameter {
	marked := slices.Clone(list)
	for i := range marked {
		marked[i].extra = true
	}
	return marked
}

// dialects in the order in which they are served, and described.
var dialects = []*dialect{&llamaV1, &azureInference, &openAI}

// named returns the dialects of these names, all for none.
func named(names []string) ([]*dialect, error) {
	if len(names) == 0 {
		return dialects, nil
	}
	for _, name := range names {
		if !slices.Contains(Dialects(), name) {
			return nil, fmt.Errorf("simulator: Options.Dialects: there is no dialect %q; the dialects are %s", name, strings.Join(Dialects(), ", "))
		}
	}
	return slices.DeleteFunc(slices.Clone(dialects), func(d *dialect) bool { return !slices.Contains(names, d.name) }), nil
}

// Dialects returns the names of the dialects that the simulator speaks.
func Dialects() []string {
	names := make([]string, len(dialects))
	for i, d := range dialects {
		names[i] = d.name
	}
	return names
}

// A kind is the JSON type of a parameter.
type kind string

const (
	text     kind = "a string"
	flag     kind = "true or false"
	integer  kind = "an integer"
	number   kind = "a number"
	texts    kind = "a string or an array of strings"
	integers kind = "an array of integers"
	prompts  kind = "a string, an array of strings, an array of token ids or an array of arrays of token ids"
	messages kind = "an array of messages"
	// As azure-inference and openai have them, with parts and calls of tools.
	conversation   kind = "an array of messages, each with role and content"
	tools          kind = "an array of tools"
	inputs         kind = "a string or an array of strings to embed"
	stopping       kind = `true, false or "never"`
	toolChoice     kind = `"none", "auto", "required" or an object that names a function`
	responseFormat kind = `an object with the member "type"`
	bias           kind = "an object of token ids and numbers"
	options        kind = `an object with the member "include_usage"`
)

// A bound is a condition on a value; message says it, with %s for the value as
// it was sent. The messages of vLLM are kept, because clients match on them.
type bound struct {
	holds   func(v any) bool
	message string
}

func between(low, high float64, message string) bound {
	return bound{func(v any) bool {
		switch x := v.(type) {
		case int64:
			return float64(x) >= low && float64(x) <= high
		case float64:
			return x >= low && x <= high
		}
		return false
	}, message}
}

// oneOf allows these values.
func oneOf(name string, values ...any) bound {
	list := make([]string, len(values))
	for i, v := range values {
		list[i] = fmt.Sprint(v)
	}
	return bound{func(v any) bool { return slices.Contains(values, v) }, name + " must be one of " + strings.Join(list, ", ") + ", got %s."}
}

var (
	none = math.Inf(-1)
	any_ = math.Inf(1)
)

// Most that one request may ask for. The source document names no limits, but
// an absurd number is refused, not attempted (REQ-058, BST-013, LOG-020).
const (
	mostPrompts    = 256
	mostChoices    = 32
	mostLogprobs   = 20 // vLLM 0.6
	mostStops      = 64
	mostStopTokens = 1024
	mostBiases     = 1024
	mostTokenID    = math.MaxInt32
)
