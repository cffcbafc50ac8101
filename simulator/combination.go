package simulator

import "math/bits"

// combination is the stage of that name: parameters that are right alone but
// not together. The order is vLLM's and the catalog's ('Combination matrix');
// the first guard that fires names the error.
func combination(c *call) *refusal {
	var wanted uint64
	for i := range c.values.list {
		if p := c.rowOf(&c.values.list[i]); p != nil {
			wanted |= p.guards
		}
	}
	for ; wanted != 0; wanted &= wanted - 1 {
		if bad := c.dialect.guards[bits.TrailingZeros64(wanted)].check(c.values); bad != nil {
			return bad
		}
	}
	return c.constrain()
}

// constrain finds what the text must match: a call of a tool if there must be
// one, else what response_format says.
func (c *call) constrain() *refusal {
	if c.values.callNeeded() {
		constraint, bad := callConstraint(c.values.offered())
		c.constraint = constraint
		return bad
	}
	f, _ := c.values.of("response_format").(format)
	c.constraint = f.constraint
	return nil
}

// A guard refuses parameters that are right alone but not together. It has
// nothing to say unless the request gives one of those that it is of.
type guard struct {
	of    []string
	check func(values) *refusal
}

// llamaGuards are those of vLLM and of the source document.
var llamaGuards = []guard{ofLength, ofCandidates, ofShortest, ofBeams, ofSampling, ofGreedy, ofStreaming, ofStreamOptions, ofTools}

// openAIGuards lack beams, which OpenAI's API has not, and let greedy choices be
// equal (REQ-059).
var openAIGuards = []guard{ofLength, ofEcho, ofSuffix, ofCandidates, ofTopLogprobs, ofStreaming, ofStreamOptions, ofTools}

var (
	ofLength        = guard{[]string{"max_completion_tokens"}, lengthNames}
	ofEcho          = guard{[]string{"max_tokens"}, echoOnly}
	ofSuffix        = guard{[]string{"suffix"}, noSuffix}
	ofCandidates    = guard{[]string{"best_of", "n"}, candidates}
	ofShortest      = guard{[]string{"min_tokens"}, shortest}
	ofBeams         = guard{[]string{"use_beam_search"}, beams}
	ofSampling      = guard{[]string{"early_stopping", "length_penalty"}, samplingOnly}
	ofGreedy        = guard{[]string{"temperature"}, greedySampling}
	ofStreaming     = guard{[]string{"stream"}, streaming}
	ofTopLogprobs   = guard{[]string{"top_logprobs"}, topLogprobs}
	ofStreamOptions = guard{[]string{"stream_options"}, streamOptions}
	ofTools         = guard{[]string{"tool_choice", "parallel_tool_calls"}, toolChoices}
)

// lengthNames: max_tokens has two names, which must agree (REQ-074).
func lengthNames(v values) *refusal {
	if v.given("max_tokens") && v.given("max_completion_tokens") && v.int("max_tokens") != v.int("max_completion_tokens") {
		return invalid(codeCombination, "max_completion_tokens",
			"max_completion_tokens and max_tokens differ (%d and %d); send one of them.", v.int("max_completion_tokens"), v.int("max_tokens"))
	}
	return nil
}

// shortest: an answer cannot be longer than it may be.
func shortest(v values) *refusal {
	if v.of(v.lengthName()) != nil && v.int("min_tokens") > v.maxTokens() {
		return invalid(codeCombination, "min_tokens", "min_tokens must be less than or equal to max_tokens=%d, got %d.", v.maxTokens(), v.int("min_tokens"))
	}
	return nil
}

// echoOnly: without an answer there must be an echo.
func echoOnly(v values) *refusal {
	if v.given("max_tokens") && v.int("max_tokens") == 0 && !v.flag("echo") {
		return invalid(codeRange, "max_tokens", "max_tokens must be at least 1, or 0 with echo, got 0.")
	}
	return nil
}

// noSuffix: the model cannot write towards an end.
func noSuffix(v values) *refusal {
	if v.text("suffix") != "" {
		return unsupported("suffix", "suffix is not supported by this model; remove it.")
	}
	return nil
}

// candidates: best_of is greater than n, but for the documented defaults of one
// and one (BST-001, BST-002, BST-004, conflict C02).
func candidates(v values) *refusal {
	n, best := v.int("n"), v.bestOf()
	switch {
	case best < n:
		return invalid(codeCombination, "best_of",
			"best_of must be greater than or equal to n, got n=%d and best_of=%d.", n, best)
	case v.given("best_of") && best == n && n > 1:
		return invalid(codeCombination, "best_of",
			"best_of must be greater than n, got n=%d and best_of=%d; leave best_of out to get all %d.", n, best, n)
	}
	return nil
}

// beams: beam search needs more than one beam and no sampling (BEAM-001 to
// BEAM-003, BEAM-008).
func beams(v values) *refusal {
	if !v.flag("use_beam_search") {
		return nil
	}
	switch {
	case v.bestOf() <= 1:
		return invalid(codeCombination, "best_of", "best_of must be greater than 1 when using beam search. Got %d.", v.bestOf())
	case !v.greedy():
		return invalid(codeCombination, "temperature", "temperature must be 0 when using beam search.")
	case v.number("top_p") != 1:
		return invalid(codeCombination, "top_p", "top_p must be 1 when using beam search.")
	case v.given("top_k") && v.int("top_k") != -1:
		return invalid(codeCombination, "top_k", "top_k must be -1 when using beam search.")
	}
	return nil
}

// samplingOnly: what only beams have has its default without them.
func samplingOnly(v values) *refusal {
	switch {
	case v.flag("use_beam_search"):
	case v.given("early_stopping") && v.of("early_stopping") != false:
		return invalid(codeCombination, "early_stopping", "early_stopping is not effective and must be False when not using beam search.")
	case v.given("length_penalty") && v.number("length_penalty") != 1:
		return invalid(codeCombination, "length_penalty", "length_penalty is not effective and must be the default value of 1.0 when not using beam search.")
	}
	return nil
}

// greedySampling: at temperature 0 all candidates would be the same (REQ-059,
// BST-010, conflict C10).
func greedySampling(v values) *refusal {
	switch {
	case !v.greedy() || v.flag("use_beam_search"):
	case v.given("best_of") && v.bestOf() > 1:
		return invalid(codeCombination, "best_of", "best_of must be 1 when using greedy sampling.Got %d.", v.bestOf()) // as vLLM writes it
	case v.int("n") > 1:
		return invalid(codeCombination, "n", "n must be 1 when using greedy sampling. Got %d. Set temperature above 0.", v.int("n"))
	}
	return nil
}

// streaming: "results cannot be streamed" (S:129), since none is known to be
// among the best before all are complete (BST-008, BEAM-009, conflict C03).
func streaming(v values) *refusal {
	switch {
	case !v.flag("stream"):
	case v.bestOf() > v.int("n"):
		return invalid(codeCombination, "best_of", "best_of above n cannot be streamed; set stream to false.")
	case v.flag("use_beam_search"):
		return invalid(codeCombination, "use_beam_search", "use_beam_search cannot be streamed; set stream to false.")
	}
	return nil
}

// topLogprobs are of the log probabilities that logprobs asks for (LOG-017).
func topLogprobs(v values) *refusal {
	if v.given("top_logprobs") && !v.flag("logprobs") {
		return invalid(codeCombination, "top_logprobs", "top_logprobs needs logprobs to be true.")
	}
	return nil
}

// streamOptions only say how to stream (STR-030).
func streamOptions(v values) *refusal {
	if v.given("stream_options") && !v.flag("stream") {
		return invalid(codeCombination, "stream_options", "stream_options needs stream to be true.")
	}
	return nil
}
