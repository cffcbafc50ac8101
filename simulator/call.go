package simulator

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/touchstone-llm/touchstone/engine"
)

// A call is one request on its way through the stages.
type call struct {
	server    *Server
	dialect   *dialect
	route     *route
	header    http.Header // of the request
	generator Generator
	hooks     hooks
	log       *slog.Logger
	gone      <-chan struct{} // closed when the client is

	// What every document of the answer says.
	id      string
	created int64
	model   string

	// What the stages have found so far.
	body     []byte
	document document
	values   values
	prompts  [][]int // one, but for a batch
	prompt   []int   // the longest of them
	request  engine.Request

	failure error // what ended the steps of a stream early
}

// A stage looks at one aspect of a call and refuses what is wrong.
type stage struct {
	name string
	run  func(*call) *refusal
}

// stages that a request passes before it costs anything. The order is part of
// the contract: when two guards fire, the first names the error.
var stages = []stage{
	{"decode", decode},
	{"extra", extraParameters},
	{"type", types},
	{"range", ranges},
	{"combination", combination},
	{"context", contextLength},
}

// check runs the stages.
func (c *call) check() *refusal {
	for _, s := range stages {
		if bad := c.ahead(s.name); bad != nil {
			return bad
		}
		if bad := s.run(c); bad != nil {
			return bad
		}
	}
	return c.ahead("generate")
}

// ahead runs what defects do before a stage.
func (c *call) ahead(stage string) *refusal {
	for _, f := range c.hooks.before[stage] {
		if bad := f(c); bad != nil {
			return bad
		}
	}
	return nil
}

// respond generates and sends. Whatever happens, the generation is over when it
// returns.
func (c *call) respond(ctx context.Context, w http.ResponseWriter) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	steps := c.generate(ctx)
	if c.values.flag("stream") {
		c.stream(ctx, w, steps)
		return
	}
	choices, err := engine.Collect(steps, c.choices())
	switch {
	case ctx.Err() != nil: // the client has gone
	case err != nil:
		c.refuse(w, c.failed(err))
	default:
		c.send(w, c.answer(choices))
	}
}
