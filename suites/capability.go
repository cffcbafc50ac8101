package suites

import (
	"slices"

	"github.com/touchstone-llm/touchstone/reports"
	"github.com/touchstone-llm/touchstone/schemas"
)

// A capability is how the evidence of a run shows what the target makes of an
// optional parameter.
type capability struct {
	parameter string
	how       string // what was looked at
	// probe and label are the request that shows it; effect is whether its
	// answer shows that the parameter was honoured. With nil, 200 is all that is
	// known.
	probe, label string
	effect       func(f *Facts, r *reply) bool
}

// capabilities in the order in which the table shows them.
var capabilities = []capability{
	{"stream", "events came", "greedy.stream", "", func(_ *Facts, r *reply) bool { return len(r.chunks) > 1 }},
	{"stream_options", "the last chunk but the mark has usage", "clients", "openai-js stream", func(_ *Facts, r *reply) bool {
		return len(r.chunks) > 0 && r.chunks[len(r.chunks)-1].doc.Get("usage.total_tokens").Exists()
	}},
	{"n", "3 choices came", "n3", "", func(_ *Facts, r *reply) bool { return len(r.choices()) == 3 }},
	{"best_of", "1 choice came of 3 candidates", "best_of.1of3", "", func(_ *Facts, r *reply) bool { return len(r.choices()) == 1 }},
	{"use_beam_search", "accepted with two beams", "beam.two", "", nil},
	{"stop", "the text ends before the stop string", "stop", "", func(f *Facts, r *reply) bool { return len(r.firstText()) < len(f.Long.Answer) }},
	{"logprobs", "the choice has log probabilities", "beam.greedy", "", func(_ *Facts, r *reply) bool {
		return len(r.choices()) > 0 && r.choices()[0].Get("logprobs").IsObject()
	}},
	{"presence_penalty", "accepted at the end of its range", "penalties", "presence_penalty 2", nil},
	{"frequency_penalty", "2 and -2 give other texts than the answer without it", "penalty.effect", "2", func(f *Facts, r *reply) bool {
		return len(f.Long.Answer) > len(r.firstText()) && f.Long.Answer[:len(r.firstText())] != r.firstText()
	}},
	{"max_completion_tokens", "the answer has that many tokens", "length.other", "", func(_ *Facts, r *reply) bool {
		n, _ := r.completionTokens()
		return n == otherLength
	}},
	{"skip_special_tokens", "accepted", "flags", "skip_special_tokens false", nil},
	{"seed", "accepted", "best_of.candidates", "", nil},
	{"model", "accepted", "model.names", "azureai", nil},
	{"response_format", "the answer is JSON", "json.mode", "json", func(_ *Facts, r *reply) bool { return honoursJSON(r) }},
	{"tools", "the tool that tool_choice names was called", "tools", toolNames[0], func(_ *Facts, r *reply) bool { return len(r.calls()) > 0 }},
	{"echo", "the text begins with the prompt", "echo", "", func(_ *Facts, r *reply) bool { return len(r.firstText()) > 0 && r.firstText()[0] == shortPrompt[0] }},
	{"unknown parameters", "an unknown one was sent", "unknown", "", func(*Facts, *reply) bool { return false }},
}

// capabilities is the table of the run: a row a parameter and route for which
// there is evidence.
func (k *check) capabilities() []reports.Capability {
	var out []reports.Capability
	for _, route := range k.target.Routes {
		f := k.facts[route]
		if f == nil || !f.Served {
			continue
		}
		if f.IgnoreEOS != Unknown {
			out = append(out, reports.Capability{Parameter: "ignore_eos", Route: string(route), Support: f.IgnoreEOS.String(), How: "an answer that ends by itself goes on", Claimed: slices.Contains(k.target.Features, "ignore_eos")})
		}
		for _, c := range capabilities {
			if r := k.find(route, c.probe, c.label); r != nil {
				out = append(out, reports.Capability{
					Parameter: c.parameter, Route: string(route), Support: c.support(f, r), How: c.how,
					Claimed: slices.Contains(k.target.Features, c.parameter), Exchange: r.ID,
				})
			}
		}
	}
	return out
}

func (c capability) support(f *Facts, r *reply) string {
	switch {
	case r.refused():
		return Refused.String()
	case !r.ok():
		return Unknown.String()
	case c.effect == nil:
		return "accepted"
	case c.effect(f, r):
		return Honoured.String()
	}
	return Ignored.String()
}

// find is the first answered request of a probe with that label.
func (k *check) find(route schemas.Route, probe, label string) *reply {
	for _, r := range k.replies(route) {
		if r.probe == probe && (label == "" || r.label == label) && r.Response != nil {
			return r
		}
	}
	return nil
}
