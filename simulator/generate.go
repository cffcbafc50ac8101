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
	v := c.values
	r := engine.Request{
		Prompt:            c.prompts[0],
		MaxTokens:         v.maxTokens(),
		N:                 v.int("n"),
		BestOf:            v.bestOf(),
		UseBeamSearch:     v.flag("use_beam_search"),
		Temperature:       v.number("temperature"),
		TopP:              max(v.number("top_p"), math.SmallestNonzeroFloat64),
		TopK:              v.int("top_k"),
		MinP:              v.number("min_p"),
		PresencePenalty:   v.number("presence_penalty"),
		FrequencyPenalty:  v.number("frequency_penalty"),
		RepetitionPenalty: v.number("repetition_penalty"),
		MinTokens:         v.int("min_tokens"),
		Constraint:        c.constraint,
		Stop:              v.texts("stop"),
		IgnoreEOS:         v.flag("ignore_eos"),
		KeepSpecialTokens: v.of("skip_special_tokens") == false,
		Logprobs:          v.logprobs(),
	}
	for _, id := range v.ints("stop_token_ids") {
		r.StopTokenIDs = append(r.StopTokenIDs, int(id))
	}
	r.LogitBias, _ = v.of("logit_bias").(map[int]float64)
	if v.given("length_penalty") {
		r.LengthPenalty = new(v.number("length_penalty"))
	}
	switch v.of("early_stopping") {
	case true:
		r.EarlyStopping = engine.EarlyStoppingTrue
	case "never":
		r.EarlyStopping = engine.EarlyStoppingNever
	}
	if v.flag("echo") {
		r.PromptLogprobs = new(max(0, r.Logprobs))
	}
	if v.given("seed") {
		seed, _ := v.of("seed").(int64)
		r.Seed = &seed
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
		c.screened = make([]*assessment, c.choices())
		steps = f.screenSteps(steps, c.screened, c.dialect.marksFailure)
	}
	if p := c.deployment.pacer; p != nil {
		steps = p.begin(c.turn, c.promptTokens(), c.askedFor).steps(ctx, steps, !c.values.flag("stream"))
	}
	return c.trace(c.observe(steps))
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
	c.generated = make([]int, c.choices())
	return func(yield func(engine.Step, error) bool) {
		for s, err := range steps {
			if err == nil && s.Choice < len(c.generated) {
				c.generated[s.Choice] = s.Generated
			}
			if !yield(s, err) {
				return
			}
		}
	}
}

// one answers prompt i.
func (c *call) one(ctx context.Context, i int, r engine.Request) engine.Steps {
	steps := c.generator.Generate(ctx, r)
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

// collect joins the steps of n choices. With an error it returns none.
func collect(steps engine.Steps, n int) ([]engine.Choice, error) {
	choices := make([]engine.Choice, n)
	texts := make([][]byte, n)
	for s, err := range steps {
		if err != nil {
			return nil, err
		}
		c := &choices[s.Choice]
		if texts[s.Choice] == nil {
			texts[s.Choice] = make([]byte, 0, 256)
		}
		texts[s.Choice] = append(texts[s.Choice], s.Text...)
		if s.Tokens != nil {
			c.Tokens = append(c.Tokens, s.Tokens...)
		}
		c.Finish = s.Finish
		c.Generated = s.Generated
		c.CumulativeLogprob = s.CumulativeLogprob
	}
	for i := range choices {
		choices[i].Text = string(texts[i])
	}
	return choices, nil
}
