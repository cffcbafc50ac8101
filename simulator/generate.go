package simulator

import (
	"context"
	"errors"
	"math"
	"net/http"
	"time"

	"github.com/touchstone-llm/touchstone/engine"
)

// engineRequest is what the parameters ask of the engine.
func (c *call) engineRequest() engine.Request {
	r := c.values.ask(c.route.usual)
	r.Prompt, r.Constraint = c.prompts[0], c.constraint
	return r
}

// ask makes of r, which is what the defaults ask, what v does.
func (v *values) ask(r engine.Request) engine.Request {
	for i := range v.list {
		x := &v.list[i]
		switch x.name {
		case "n":
			r.N = v.int("n")
		case "use_beam_search":
			r.UseBeamSearch = v.flag("use_beam_search")
		case "temperature":
			r.Temperature = v.number("temperature")
		case "top_p":
			r.TopP = v.number("top_p")
		case "top_k":
			r.TopK = v.int("top_k")
		case "min_p":
			r.MinP = v.number("min_p")
		case "presence_penalty":
			r.PresencePenalty = v.number("presence_penalty")
		case "frequency_penalty":
			r.FrequencyPenalty = v.number("frequency_penalty")
		case "repetition_penalty":
			r.RepetitionPenalty = v.number("repetition_penalty")
		case "min_tokens":
			r.MinTokens = v.int("min_tokens")
		case "stop":
			r.Stop = v.texts("stop")
		case "ignore_eos":
			r.IgnoreEOS = v.flag("ignore_eos")
		case "skip_special_tokens":
			r.KeepSpecialTokens = x.typed == false
		case "stop_token_ids":
			r.StopTokenIDs = nil
			for _, id := range v.ints("stop_token_ids") {
				r.StopTokenIDs = append(r.StopTokenIDs, int(id))
			}
		case "logit_bias":
			r.LogitBias, _ = x.typed.(map[int]float64)
		case "length_penalty":
			if x.given {
				r.LengthPenalty = new(v.number("length_penalty"))
			}
		case "early_stopping":
			switch x.typed {
			case true:
				r.EarlyStopping = engine.EarlyStoppingTrue
			case "never":
				r.EarlyStopping = engine.EarlyStoppingNever
			}
		case "seed":
			if x.given {
				seed, _ := x.typed.(int64)
				r.Seed = &seed
			}
		}
	}
	r.MaxTokens, r.BestOf, r.Logprobs = v.maxTokens(), v.bestOf(), v.logprobs()
	r.TopP = max(r.TopP, math.SmallestNonzeroFloat64)
	if v.flag("echo") {
		r.PromptLogprobs = new(max(0, r.Logprobs))
	}
	return r
}

// generate is the stage of that name. Only here does a request cost anything
// (clause REQ-075).
func (c *call) generate(ctx context.Context) engine.Steps {
	c.request = c.engineRequest()
	for _, change := range c.hooks.request {
		change(c, &c.request)
	}
	steps := c.batch(ctx)
	for _, change := range c.hooks.steps {
		steps = change(c, steps)
	}
	steps = c.count(steps)
	if f := c.deployment.filter; f != nil {
		n := c.choices()
		c.screened = sized(c.room.screened[:], n)
		steps = f.screenSteps(steps, sized(c.room.filtering[:], n), c.screened, c.dialect.marksFailure)
	}
	streamed := c.values.flag("stream")
	if p := c.deployment.pacer; p != nil {
		steps = p.begin(c.turn, c.promptTokens(), c.askedFor).steps(ctx, steps, !streamed)
	}
	if streamed {
		steps = c.observe(steps)
	}
	return c.trace(steps)
}

// batch answers the prompts one after the other. The choices of prompt i have
// the indices from i*n on (clauses REQ-027, REQ-028).
func (c *call) batch(ctx context.Context) engine.Steps {
	if len(c.prompts) == 1 {
		return c.one(ctx, 0, c.request)
	}
	return func(yield func(engine.Step, error) bool) {
		for i, prompt := range c.prompts {
			r := c.request
			r.Prompt = prompt
			for step, err := range c.one(ctx, i, r) {
				step.Choice += i * r.N
				if !yield(step, err) || err != nil {
					return
				}
			}
		}
	}
}

// count keeps the number of tokens of each choice.
func (c *call) count(steps engine.Steps) engine.Steps {
	c.generated = sized(c.room.generated[:], c.choices())
	return func(yield func(engine.Step, error) bool) {
		steps(func(s engine.Step, err error) bool {
			if err == nil && s.Choice < len(c.generated) {
				c.generated[s.Choice] = s.Generated
			}
			return yield(s, err)
		})
	}
}

// one answers prompt i.
func (c *call) one(ctx context.Context, i int, r engine.Request) engine.Steps {
	var steps engine.Steps
	if g, ok := c.generator.(atOnce); ok && !c.values.flag("stream") && c.hooks.steps == nil {
		steps = g.generateAtOnce(ctx, r)
	} else {
		steps = c.generator.Generate(ctx, r)
	}
	if r.PromptLogprobs != nil {
		steps = echoed(steps, c.values.of(c.route.input().name).([]prompt)[i].text, r)
	}
	return steps
}

// choices is how many choices the answer has.
func (c *call) choices() int { return c.request.N * len(c.prompts) }

// failed is what a client is told of an error of the engine.
func (c *call) failed(err error) *refusal {
	if errors.Is(err, engine.ErrContextLength) {
		return invalid(codeContext, "max_tokens", "The prompt and max_tokens do not fit in the model's context.")
	}
	var up *UpstreamError
	if errors.As(err, &up) && (up.Status == http.StatusTooManyRequests || up.Status == http.StatusServiceUnavailable) {
		c.log.Warn("the server behind is busy", "status", up.Status)
		r := refuse(http.StatusServiceUnavailable, "upstream_busy", "The server behind this one is busy; try again.")
		r.kind, r.header = "server_error", http.Header{"Retry-After": {"1"}}
		return r
	}
	c.log.Error("generation failed", "error", err)
	return internal()
}

// askedFor counts what the latency profile asks for.
func (c *call) askedFor(ttft bool, d time.Duration) {
	if ttft {
		c.deployment.metrics.askedTTFT.Observe(d.Seconds())
	} else {
		c.deployment.metrics.askedITL.Observe(d.Seconds())
	}
}

// collect joins the steps of choices, which are empty. With an error it returns
// none.
func (c *collection) collect(steps engine.Steps, choices []engine.Choice) ([]engine.Choice, error) {
	c.choices = choices
	steps(c.add)
	if c.failure != nil {
		return nil, c.failure
	}
	for i, text := range c.texts {
		if text != nil {
			c.choices[i].Text = string(text)
		}
	}
	return c.choices, nil
}

type collection struct {
	choices []engine.Choice
	texts   [][]byte // of the choices that come in pieces
	failure error
}

// add joins a step, and says whether more are wanted.
func (c *collection) add(s engine.Step, err error) bool {
	if err != nil {
		c.failure = err
		return false
	}
	to := &c.choices[s.Choice]
	switch {
	case to.Text == "":
		to.Text = s.Text
	case s.Text != "":
		if c.texts == nil {
			c.texts = make([][]byte, len(c.choices))
		}
		if c.texts[s.Choice] == nil {
			c.texts[s.Choice] = append(make([]byte, 0, 256), to.Text...)
		}
		c.texts[s.Choice] = append(c.texts[s.Choice], s.Text...)
	}
	if s.Tokens != nil {
		to.Tokens = append(to.Tokens, s.Tokens...)
	}
	to.Finish, to.Generated, to.CumulativeLogprob = s.Finish, s.Generated, s.CumulativeLogprob
	return true
}
