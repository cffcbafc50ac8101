package simulator

import (
	"github.com/tidwall/gjson"

	"github.com/touchstone-llm/touchstone/engine"
)

// eosDefects break the area EOS, the end of a sequence.
var eosDefects = []Defect{
	{
		Name:     "ignore-eos-false-is-true",
		Sentence: "ignore_eos false is read as true.",
		Stage:    "combination",
		Clauses:  []string{"EOS-001"},
		arm: before("combination", func(c *call) {
			if c.values.given("ignore_eos") {
				c.values.set("ignore_eos", true, "true")
			}
		}),
	},
	{
		Name:     "ignore-eos-one-short",
		Sentence: "With ignore_eos true an answer has one token fewer than max_tokens.",
		Stage:    "generate",
		Clauses:  []string{"REQ-038", "REQ-074", "FIN-003", "STP-022", "EOS-002", "USE-007", "USE-010"},
		arm: asked(func(_ *call, r *engine.Request) {
			if r.IgnoreEOS && r.MaxTokens > 1 && r.BestOf <= r.N && !r.UseBeamSearch {
				r.MaxTokens--
			}
		}),
	},
	{
		Name:     "ignore-eos-default-in-streams",
		Sentence: "Where ignore_eos is not sent it is true in streams and false elsewhere.",
		Stage:    "generate",
		Clauses:  []string{"EOS-003"},
		arm: asked(func(c *call, r *engine.Request) {
			if c.values.flag("stream") && !c.values.given("ignore_eos") {
				r.IgnoreEOS = true
			}
		}),
	},
	{
		Name:     "ignore-eos-text-true",
		Sentence: `ignore_eos "false" is accepted and read as true.`,
		Stage:    "type",
		Clauses:  []string{"REQ-067", "EOS-004"},
		Seen:     "Azure Llama serverless, eureka-ml-insights#51",
		arm: before("type", func(c *call) {
			for i, m := range c.document {
				if m.name == "ignore_eos" && m.value.Type == gjson.String {
					c.document[i].value = gjson.Parse("true")
				}
			}
		}),
	},
	{
		Name:     "ignore-eos-ignores-stops",
		Sentence: "ignore_eos true turns stop strings off too.",
		Stage:    "generate",
		Clauses:  []string{"FIN-006", "STR-020", "STP-013", "STP-018", "EOS-005"},
		arm: asked(func(_ *call, r *engine.Request) {
			if r.IgnoreEOS {
				r.Stop = nil
			}
		}),
	},
	{
		Name:     "ignore-eos-other-path",
		Sentence: "ignore_eos true leaves the last token of the prompt out.",
		Stage:    "generate",
		Clauses:  []string{"EOS-006"},
		arm: asked(func(_ *call, r *engine.Request) {
			if r.IgnoreEOS && r.Temperature < 1e-5 && !r.UseBeamSearch && r.Logprobs < 0 {
				r.Prompt = r.Prompt[:len(r.Prompt)-1]
			}
		}),
	},
}
