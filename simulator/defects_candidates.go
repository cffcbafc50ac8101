package simulator

import (
	"cmp"
	"slices"
	"time"

	"github.com/tidwall/gjson"

	"github.com/touchstone-llm/touchstone/engine"
)

// candidateDefects break the area BST, n and best_of.
var candidateDefects = []Defect{
	{
		Name:     "best-of-reduces-n",
		Sentence: "best_of below n is accepted, and only best_of choices are returned.",
		Stage:    "combination",
		Clauses:  []string{"BST-001", "REQ-080"},
		arm: before("combination", func(c *call) {
			if c.values.given("best_of") && c.values.bestOf() < c.values.int("n") {
				c.values.set("n", int64(c.values.bestOf()), c.values.raw("best_of"))
				c.values.unset("best_of")
			}
		}),
	},
	{
		Name:     "best-of-equal-accepted",
		Sentence: "best_of equal to n is accepted.",
		Stage:    "combination",
		Clauses:  []string{"BST-002"},
		Seen:     "vLLM 0.4 to 0.6",
		arm: before("combination", func(c *call) {
			if c.values.given("best_of") && c.values.bestOf() == c.values.int("n") {
				c.values.unset("best_of")
			}
		}),
	},
	{
		Name:     "best-of-defaults-to-1",
		Sentence: "An absent best_of is 1, so that n above 1 is refused.",
		Stage:    "combination",
		Clauses:  []string{"BST-003", "REQ-080"},
		Seen:     "the source document's default (S:126)",
		arm: before("combination", func(c *call) {
			if !c.values.given("best_of") {
				c.values.set("best_of", int64(1), "1")
			}
		}),
	},
	{
		Name:     "best-of-1-refused",
		Sentence: "best_of 1 with n 1, the documented defaults, is refused.",
		Stage:    "combination",
		Clauses:  []string{"BST-004"},
		arm: always(func(c *call) {
			c.hooks.on("combination", func(c *call) *refusal {
				if c.values.given("best_of") && c.values.bestOf() == 1 && c.values.int("n") == 1 {
					return invalid(codeCombination, "best_of", "best_of must be greater than n, got n=1 and best_of=1.")
				}
				return nil
			})
		}),
	},
	{
		Name:     "best-of-returns-all",
		Sentence: "All best_of candidates are returned.",
		Stage:    "generate",
		Clauses:  []string{"BST-005", "BST-015", "REQ-080"},
		arm: pick(samplingCandidates, func(all []engine.Choice, _ int) []engine.Choice {
			rank(all)
			return all
		}),
	},
	{
		Name:     "best-of-worst",
		Sentence: "Of best_of candidates those with the lowest mean log probability are returned.",
		Stage:    "generate",
		Clauses:  []string{"BST-006"},
		Seen:     "the source document's wording (S:127)",
		arm: pick(samplingCandidates, func(all []engine.Choice, n int) []engine.Choice {
			rank(all)
			return all[len(all)-n:]
		}),
	},
	{
		Name:     "best-of-second",
		Sentence: "The best of best_of candidates is left out, and those after it are returned.",
		Stage:    "generate",
		Clauses:  []string{"BST-006"},
		arm: pick(samplingCandidates, func(all []engine.Choice, n int) []engine.Choice {
			rank(all)
			return all[1 : n+1]
		}),
	},
	{
		Name:     "best-of-unsorted",
		Sentence: "The best candidates are returned worst first.",
		Stage:    "generate",
		Clauses:  []string{"BST-007"},
		arm: pick(samplingCandidates, func(all []engine.Choice, n int) []engine.Choice {
			rank(all)
			slices.Reverse(all[:n])
			return all[:n]
		}),
	},
	{
		Name:     "best-of-streams",
		Sentence: "best_of above n with stream is accepted, and the first candidates are streamed as they grow.",
		Stage:    "combination",
		Clauses:  []string{"BST-008"},
		arm: before("combination", func(c *call) {
			if c.values.flag("stream") && !c.values.flag("use_beam_search") && c.values.bestOf() > c.values.int("n") {
				c.values.unset("best_of")
			}
		}),
	},
	{
		Name:     "best-of-equal-stream-500",
		Sentence: "best_of equal to n is answered with 500 where a stream is asked for.",
		Stage:    "combination",
		Clauses:  []string{"REQ-080", "BST-009", "ERR-009"},
		arm: always(func(c *call) {
			c.hooks.on("combination", func(c *call) *refusal {
				if c.values.flag("stream") && c.values.given("best_of") && c.values.bestOf() == c.values.int("n") {
					return internal()
				}
				return nil
			})
		}),
	},
	{
		Name:     "best-of-greedy-random",
		Sentence: "best_of above 1 at temperature 0 is accepted, and the text is drawn at random.",
		Stage:    "combination",
		Clauses:  []string{"BST-010"},
		arm: before("combination", func(c *call) {
			if c.values.given("best_of") && c.values.bestOf() > 1 && c.values.greedy() && !c.values.flag("use_beam_search") {
				c.values.set("temperature", 1.0, "1")
			}
		}),
	},
	{
		Name:     "best-of-null-500",
		Sentence: "best_of null is answered with 500.",
		Stage:    "type",
		Clauses:  []string{"BST-011", "ERR-009", "DET-004"},
		arm: always(func(c *call) {
			c.hooks.on("type", func(c *call) *refusal {
				if v, sent := c.document.get("best_of"); sent && v.Type == gjson.Null {
					return internal()
				}
				return nil
			})
		}),
	},
	{
		Name:     "best-of-clamped",
		Sentence: "best_of above the server's limit is accepted and lowered.",
		Stage:    "range",
		Clauses:  []string{"BST-013", "REQ-045"},
		arm: before("range", func(c *call) {
			if c.values.bestOf() > mostChoices && c.values.given("best_of") {
				c.values.set("best_of", int64(4), "4")
			}
		}),
	},
	{
		Name:     "best-of-absurd-slow",
		Sentence: "best_of above the server's limit is refused after 5 seconds.",
		Stage:    "range",
		Clauses:  []string{"BST-013"},
		arm: always(func(c *call) {
			c.hooks.on("range", func(c *call) *refusal {
				if c.values.given("best_of") && c.values.bestOf() > mostChoices {
					c.server.wait(c.context.Done(), 5*time.Second)
				}
				return nil
			})
		}),
	},
	{
		Name:     "best-of-indices-doubled",
		Sentence: "With best_of above n every choice has index 0.",
		Stage:    "shape",
		Clauses:  []string{"RSP-014", "BST-014"},
		arm: answerChoices(func(c *call, _ int, o *object) {
			if c.request.BestOf > c.request.N {
				o.set("index", "0")
			}
		}),
	},
	{
		Name:     "best-of-unknown-on-chat",
		Sentence: "best_of is an unknown parameter on the chat route.",
		Stage:    "type",
		Clauses:  []string{"BST-004", "BST-015"},
		Seen:     "OpenAI's chat route has no best_of",
		arm: always(func(c *call) {
			c.hooks.on("type", func(c *call) *refusal {
				if v, _ := c.document.get("best_of"); c.route.name == "chat" && v.Type != gjson.Null {
					return unknown(c.route, "best_of")
				}
				return nil
			})
		}),
	},
	{
		Name:     "usage-first-choice",
		Sentence: "usage counts the tokens of the first choice only.",
		Stage:    "generate",
		Clauses:  []string{"BST-016", "USE-007", "USE-010"},
		Seen:     "vLLM 0.6.0 counted the last choice of a chat stream only",
		arm: everyStep(func(_ *call, s *engine.Step) {
			if s.Choice > 0 {
				s.Generated = 0
			}
		}),
	},
	{
		Name:     "best-of-with-stop-refused",
		Sentence: "best_of above 1 with a stop string is refused, though each alone is accepted.",
		Stage:    "combination",
		Clauses:  []string{"REQ-080"},
		arm: refusing("combination", func(c *call, o *object) *refusal {
			if c.values.given("best_of") && c.values.bestOf() > 1 && len(gjson.Parse(o.get("stop")).String()) > 0 {
				return invalid(codeRange, "best_of", "best_of and stop cannot be used together.")
			}
			return nil
		}),
	},
}

// beamDefects break the area BEAM, beam search.
var beamDefects = []Defect{
	{
		Name:     "beam-of-1-accepted",
		Sentence: "Beam search with best_of 1 is accepted and answered greedily.",
		Stage:    "combination",
		Clauses:  []string{"BEAM-001", "REQ-080"},
		arm: before("combination", func(c *call) {
			if c.values.flag("use_beam_search") && c.values.bestOf() == 1 && c.values.greedy() {
				c.values.unset("use_beam_search")
			}
		}),
	},
	{
		Name:     "beam-temperature-ignored",
		Sentence: "Beam search with a temperature above 0 is accepted.",
		Stage:    "combination",
		Clauses:  []string{"BEAM-002", "REQ-080"},
		arm: before("combination", func(c *call) {
			if c.values.flag("use_beam_search") && c.values.given("temperature") {
				c.values.set("temperature", 0.0, "0")
			}
		}),
	},
	{
		Name:     "beam-implies-temperature-0",
		Sentence: "Beam search without a temperature is accepted.",
		Stage:    "combination",
		Clauses:  []string{"BEAM-003"},
		arm: before("combination", func(c *call) {
			if c.values.flag("use_beam_search") && !c.values.given("temperature") {
				c.values.set("temperature", 0.0, "0")
			}
		}),
	},
	{
		Name:     "beam-ignored",
		Sentence: "use_beam_search, and best_of with it, is accepted and has no effect.",
		Stage:    "combination",
		Clauses:  []string{"BEAM-001", "BEAM-002", "BEAM-003", "BEAM-004", "BEAM-009", "REQ-080"},
		arm: before("combination", func(c *call) {
			if c.values.flag("use_beam_search") {
				c.values.unset("use_beam_search")
				c.values.unset("best_of")
			}
		}),
	},
	{
		Name:     "beam-fails",
		Sentence: "Beam search is answered with 500.",
		Stage:    "generate",
		Clauses:  []string{"BEAM-004", "BEAM-011", "ERR-009", "REQ-080"},
		arm: always(func(c *call) {
			c.hooks.on("generate", func(c *call) *refusal {
				if c.values.flag("use_beam_search") {
					return internal()
				}
				return nil
			})
		}),
	},
	{
		Name:     "beam-sampled",
		Sentence: "Beam search is accepted, and the texts are drawn at random.",
		Stage:    "generate",
		Clauses:  []string{"BEAM-005", "BEAM-007"},
		arm:      sampleBeams(nil),
	},
	{
		Name:     "beam-copies",
		Sentence: "Beam search returns copies of the greedy text.",
		Stage:    "generate",
		Clauses:  []string{"BEAM-006"},
		arm:      copyGreedy,
	},
	{
		Name:     "beam-unsorted",
		Sentence: "Beams are returned worst first.",
		Stage:    "generate",
		Clauses:  []string{"BEAM-006"},
		arm: pick(beamCandidates, func(all []engine.Choice, n int) []engine.Choice {
			rank(all)
			slices.Reverse(all[:n])
			return all[:n]
		}),
	},
	{
		Name:     "beam-below-greedy",
		Sentence: "Beam search returns texts that are less likely than the greedy one.",
		Stage:    "generate",
		Clauses:  []string{"BEAM-007"},
		arm:      sampleBeams(new(int64)),
	},
	{
		Name:     "beam-streams",
		Sentence: "Beam search with stream is accepted, and the greedy text is streamed as it grows.",
		Stage:    "combination",
		Clauses:  []string{"BEAM-009"},
		arm: before("combination", func(c *call) {
			if c.values.flag("stream") && c.values.flag("use_beam_search") && c.values.bestOf() > 1 && c.values.greedy() {
				c.values.unset("use_beam_search")
				c.values.unset("best_of")
				c.values.set("n", int64(1), "1")
			}
		}),
	},
	{
		Name:     "beam-top-p-500",
		Sentence: "Beam search with top_p below 1 is answered with 500.",
		Stage:    "combination",
		Clauses:  []string{"BEAM-008", "ERR-009"},
		arm: always(func(c *call) {
			c.hooks.on("combination", func(c *call) *refusal {
				if c.values.flag("use_beam_search") && c.values.number("top_p") < 1 {
					return internal()
				}
				return nil
			})
		}),
	},
	{
		Name:     "beam-false-is-true",
		Sentence: "use_beam_search false is read as true.",
		Stage:    "combination",
		Clauses:  []string{"BEAM-010", "DET-003", "REQ-080"},
		arm: before("combination", func(c *call) {
			if c.values.given("use_beam_search") {
				c.values.set("use_beam_search", true, "true")
			}
		}),
	},
}

func samplingCandidates(r *engine.Request) bool { return !r.UseBeamSearch && r.BestOf > r.N }

func beamCandidates(r *engine.Request) bool { return r.UseBeamSearch }

// pick asks the engine for all candidates of the requests that apply, and
// returns those that choose picks.
func pick(applies func(*engine.Request) bool, choose func(all []engine.Choice, n int) []engine.Choice) func() arming {
	return always(func(c *call) {
		n := 0 // of choices to return; 0 when it does not apply
		c.hooks.request = append(c.hooks.request, func(_ *call, r *engine.Request) {
			if applies(r) {
				n, r.N = r.N, r.BestOf
			}
		})
		c.hooks.steps = append(c.hooks.steps, func(c *call, steps engine.Steps) engine.Steps {
			if n == 0 {
				return steps
			}
			return c.chosen(steps, func(choices []engine.Choice) []engine.Choice {
				return choose(choices, n)
			})
		})
	})
}

// copyGreedy answers beam search with the greedy text, n times.
func copyGreedy() arming {
	return func(c *call) {
		n := 0
		c.hooks.request = append(c.hooks.request, func(_ *call, r *engine.Request) {
			if r.UseBeamSearch {
				n = r.N
				r.UseBeamSearch, r.BestOf, r.N = false, 1, 1
			}
		})
		c.hooks.steps = append(c.hooks.steps, func(c *call, steps engine.Steps) engine.Steps {
			if n == 0 {
				return steps
			}
			return c.chosen(steps, func(one []engine.Choice) []engine.Choice {
				return slices.Repeat(one, n)
			})
		})
	}
}

// sampleBeams answers beam search with hot samples, best first; with a seed
// they are always the same.
func sampleBeams(seed *int64) func() arming {
	return always(func(c *call) {
		beams := false
		c.hooks.request = append(c.hooks.request, func(_ *call, r *engine.Request) {
			if beams = r.UseBeamSearch; beams {
				r.UseBeamSearch, r.BestOf, r.Temperature, r.Seed = false, r.N, 2, seed
			}
		})
		c.hooks.steps = append(c.hooks.steps, func(c *call, steps engine.Steps) engine.Steps {
			if !beams {
				return steps
			}
			return c.chosen(steps, func(all []engine.Choice) []engine.Choice {
				rank(all)
				return all
			})
		})
	})
}

// chosen collects the choices of steps and yields those that choose returns,
// each as one step. How many there are is set in the request, from which the
// answer takes it.
func (c *call) chosen(steps engine.Steps, choose func([]engine.Choice) []engine.Choice) engine.Steps {
	all, err := engine.Collect(steps, c.request.N)
	choices := all
	if err == nil {
		choices = choose(all)
	}
	c.request.N = len(choices)
	return func(yield func(engine.Step, error) bool) {
		if err != nil {
			yield(engine.Step{}, err)
			return
		}
		for i, choice := range choices {
			step := engine.Step{
				Choice: i, Text: choice.Text, Tokens: choice.Tokens, Finish: choice.Finish,
				Generated: choice.Generated, CumulativeLogprob: choice.CumulativeLogprob,
			}
			if !yield(step, nil) {
				return
			}
		}
	}
}

// rank sorts by mean log probability a token, best first.
func rank(choices []engine.Choice) {
	mean := func(c engine.Choice) float64 { return c.CumulativeLogprob / float64(max(1, c.Generated)) }
	slices.SortStableFunc(choices, func(a, b engine.Choice) int { return cmp.Compare(mean(b), mean(a)) })
}
