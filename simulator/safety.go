package simulator

import (
	"errors"
	"fmt"
	"slices"

	"github.com/touchstone-llm/touchstone/engine"
)

// Safety is how a deployment screens prompts and completions. The zero value
// screens with the built-in classifier at medium, as Azure does.
type Safety struct {
	// Disabled screens nothing; managed deployments may opt out (SAF-017).
	Disabled bool `yaml:"disabled"`
	// Threshold is the lowest severity that is filtered: "low", "medium" (also
	// "") or "high".
	Threshold string `yaml:"threshold"`
	// BlockLists filter what the classifier does not know.
	BlockLists []BlockList `yaml:"block_lists"`
	// Fail makes every screening fail: what could not be screened is answered
	// and marked content_filter_error (SAF-012, SAF-013).
	Fail bool `yaml:"fail"`
}

// A BlockList is a list of words and phrases that are filtered.
type BlockList struct {
	Name  string   `yaml:"name"`
	Terms []string `yaml:"terms"` // whole words, in whatever case
	// AppliesTo is "prompt", "completion", or "" for both.
	AppliesTo string `yaml:"applies_to"`
}

func (s Safety) validate() error {
	if _, ok := severityOf(s.Threshold); !ok || s.Threshold == "safe" {
		return at("threshold", fmt.Errorf("must be low, medium or high, got %q", s.Threshold))
	}
	for i, l := range s.BlockLists {
		path := fmt.Sprintf("block_lists[%d]", i)
		switch {
		case l.Name == "":
			return at(path+".name", errors.New("is missing"))
		case len(l.Terms) == 0:
			return at(path+".terms", errors.New("is empty"))
		case l.AppliesTo != "" && l.AppliesTo != "prompt" && l.AppliesTo != "completion":
			return at(path+".applies_to", fmt.Errorf("must be prompt, completion or left out, got %q", l.AppliesTo))
		}
		for j, t := range l.Terms {
			if len(wordsOf(t)) == 0 {
				return at(fmt.Sprintf("%s.terms[%d]", path, j), fmt.Errorf("has no letters or digits: %q", t))
			}
		}
	}
	return nil
}

// A severity is how bad a text is, as Azure grades it.
type severity int

const (
	safe severity = iota
	low
	medium
	high
)

var severityNames = []string{"safe", "low", "medium", "high"}

func (s severity) String() string { return severityNames[s] }

func severityOf(name string) (severity, bool) {
	if name == "" {
		return medium, true
	}
	i := slices.Index(severityNames, name)
	return severity(max(i, 0)), i >= 0
}

// The categories of Azure AI Content Safety, in the order in which they are
// reported.
var categories = []string{"hate", "self_harm", "sexual", "violence"}

// An assessment is what screening found in a text.
type assessment struct {
	severities [4]severity // by category
	threshold  severity
	lists      []listMatch // of the deployment, whether they match or not
	failed     bool        // nothing could be screened
}

type listMatch struct {
	name     string
	filtered bool
}

// filtered says whether the text is withheld.
func (a *assessment) filtered() bool {
	for _, s := range a.severities {
		if s >= a.threshold {
			return true
		}
	}
	return slices.ContainsFunc(a.lists, func(m listMatch) bool { return m.filtered })
}

// appendTo appends the object of categories that annotations and refusals have:
// {"hate":{"filtered":false,"severity":"safe"},…}, and custom_blocklists where
// there are any.
func (a *assessment) appendTo(b []byte) []byte {
	if a.failed {
		return append(b, `{"error":{"code":"content_filter_error","message":"The contents are not filtered"}}`...)
	}
	b = append(b, '{')
	for i, name := range categories {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, name)
		b = append(b, `:{"filtered":`...)
		b = appendBool(b, a.severities[i] >= a.threshold)
		b = append(b, `,"severity":"`...)
		b = append(b, a.severities[i].String()...)
		b = append(b, `"}`...)
	}
	if len(a.lists) > 0 {
		b = append(b, `,"custom_blocklists":{"filtered":`...)
		b = appendBool(b, slices.ContainsFunc(a.lists, func(m listMatch) bool { return m.filtered }))
		b = append(b, `,"details":[`...)
		for i, m := range a.lists {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(b, `{"id":`...)
			b = appendString(b, m.name)
			b = append(b, `,"filtered":`...)
			b = append(appendBool(b, m.filtered), '}')
		}
		b = append(b, "]}"...)
	}
	return append(b, '}')
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, "true"...)
	}
	return append(b, "false"...)
}

// A filter is the Safety of a deployment, made ready.
type filter struct {
	safety             Safety
	threshold          severity
	prompt, completion *lexicon
}

// newFilter returns nil where nothing is screened.
func newFilter(s Safety) *filter {
	if s.Disabled {
		return nil
	}
	f := &filter{safety: s}
	f.threshold, _ = severityOf(s.Threshold)
	f.prompt = newLexicon(listsFor(s.BlockLists, "prompt"))
	f.completion = newLexicon(listsFor(s.BlockLists, "completion"))
	return f
}

func listsFor(lists []BlockList, what string) []BlockList {
	return slices.DeleteFunc(slices.Clone(lists), func(l BlockList) bool { return l.AppliesTo != "" && l.AppliesTo != what })
}

// screenPrompt assesses the texts of a prompt, each by itself.
func (f *filter) screenPrompt(a *assessment, room *scanRoom, texts ...string) {
	f.blank(a, f.prompt)
	if a.failed {
		return
	}
	for _, text := range texts {
		s := f.prompt.scan(f.threshold, a, room)
		s.add(text)
		s.finish()
	}
}

// blank makes an assessment of a in which nothing is found yet.
func (f *filter) blank(a *assessment, l *lexicon) {
	*a = assessment{threshold: f.threshold, failed: f.safety.Fail}
	for _, list := range l.lists {
		a.lists = append(a.lists, listMatch{name: list.Name})
	}
}

// Finish reasons of screened completions (clauses FIN-013 to FIN-015).
const (
	finishFiltered    engine.FinishReason = "content_filter"
	finishFilterError engine.FinishReason = "content_filter_error"
)

// screenSteps lets through what of a completion may be read. Text is held back
// while a later word could still make it a part of something filtered; from the
// first filtered word on a choice says nothing, in its text or in its tokens,
// and ends with content_filter (clauses SAF-007 to SAF-010). The choices are empty;
// their assessments are written to found. Where nothing could be screened the choice is
// complete, and marks says so in its finish reason.
//
// A choice that is filtered still counts all of its tokens (SAF-020). The
// generation goes on while another choice does.
func (f *filter) screenSteps(steps engine.Steps, choices []screened, found []*assessment, marks bool) engine.Steps {
	if f.safety.Fail {
		return func(yield func(engine.Step, error) bool) {
			for s, err := range steps {
				if err == nil && s.Finish != "" {
					f.blank(&choices[s.Choice].assessment, f.completion)
					found[s.Choice] = &choices[s.Choice].assessment
					if marks {
						s.Finish = finishFilterError
					}
				}
				if !yield(s, err) {
					return
				}
			}
		}
	}
	return func(yield func(engine.Step, error) bool) {
		open := len(found)
		for i := range choices {
			c := &choices[i]
			f.blank(&c.assessment, f.completion)
			c.scan = f.completion.scan(f.threshold, &c.assessment, &c.room)
			found[i] = &c.assessment
		}
		steps(func(s engine.Step, err error) bool {
			if err != nil {
				yield(s, err)
				return false
			}
			c := &choices[s.Choice]
			if c.over {
				return true
			}
			if !c.take(s, yield) {
				return false
			}
			if c.over {
				open--
			}
			return open > 0
		})
	}
}

// screened is one choice on its way through the filter.
type screened struct {
	assessment
	scan scan
	room scanRoom
	held []engine.Step // not yet cleared
	sent int           // bytes of text that have been
	over bool
}

// take adds a step, and yields those that are cleared.
func (c *screened) take(s engine.Step, yield func(engine.Step, error) bool) bool {
	clear, hit := c.scan.add(s.Text)
	if s.Finish != "" && !hit {
		clear, hit = c.scan.finish()
	}
	if len(c.held) == 0 && c.sent+len(s.Text) <= clear { // as nearly always
		c.sent += len(s.Text)
		c.over = s.Finish != ""
		if !yield(s, nil) {
			return false
		}
	} else {
		c.held = append(c.held, s)
	}
	for len(c.held) > 0 {
		h := c.held[0]
		if c.sent+len(h.Text) > clear {
			break
		}
		c.sent += len(h.Text)
		c.held = c.held[1:]
		if h.Finish != "" {
			c.over = true
		}
		if !yield(h, nil) {
			return false
		}
	}
	if !hit || c.over {
		return true
	}
	// The rest is withheld, but for what of the step stands before the hit.
	c.over = true
	last := engine.Step{Choice: s.Choice, Finish: finishFiltered, Generated: s.Generated, CumulativeLogprob: s.CumulativeLogprob}
	if len(c.held) > 0 {
		last.Text, last.Tokens = upTo(c.held[0], clear-c.sent)
	}
	return yield(last, nil)
}

// upTo is the text of a step up to at, and its tokens. With tokens the text
// ends between two of them, so that none shows a part of what is withheld.
func upTo(s engine.Step, at int) (string, []engine.Token) {
	if s.Tokens == nil {
		return s.Text[:at], nil
	}
	end, n := 0, 0
	for n < len(s.Tokens) && end+len(s.Tokens[n].Text) <= at {
		end += len(s.Tokens[n].Text)
		n++
	}
	return s.Text[:min(end, len(s.Text))], s.Tokens[:n:n]
}

// screen is the stage 'content safety' of a prompt (clauses SAF-001, SAF-002,
// SAF-011, SAF-015, SAF-018): all texts of a conversation are screened.
func screen(c *call) *refusal {
	if c.deployment.filter == nil {
		return nil
	}
	c.screenedPrompts = c.room.founds[:0]
	for texts := range c.inputs {
		a := &c.room.found
		if len(c.screenedPrompts) > 0 {
			a = new(assessment)
		}
		c.deployment.filter.screenPrompt(a, &c.room.filtering[0].room, texts...)
		c.screenedPrompts = append(c.screenedPrompts, a)
		if !a.failed && a.filtered() {
			c.server.metrics.filtered.WithLabelValues(c.deployment.labels("prompt")...).Inc()
			c.reserved.refund(c.context, 0) // LIM-011; the request stays counted (LIM-018)
			return filteredPrompt(c.route.input().name, a)
		}
	}
	return nil
}

// A decoder is a [Generator] that knows the text of tokens.
type decoder interface {
	Decode(tokens []int) string
}

// inputs are the texts of each prompt: of a conversation, all that was said. They
// are valid until the next.
func (c *call) inputs(yield func([]string) bool) {
	switch input := c.values.of(c.route.input().name).(type) {
	case []engine.Message:
		var said []string
		for _, m := range input {
			said = append(said, m.Content)
			for _, call := range m.ToolCalls {
				said = append(said, call.Arguments)
			}
		}
		yield(said)
	case string:
		yield(append(c.room.input[:0], input))
	case []prompt:
		for _, p := range input {
			text := p.text
			if d, ok := c.generator.(decoder); ok && p.tokens != nil {
				text = d.Decode(p.tokens)
			}
			if !yield(append(c.room.input[:0], text)) {
				return
			}
		}
	}
}

// filteredPrompt has the text and the members that clients of Azure know.
func filteredPrompt(param string, a *assessment) *refusal {
	r := invalid("content_filter", param, "The response was filtered due to the prompt triggering the content management policy. "+
		"Please modify your prompt and retry.")
	r.kind = "" // null, as Azure writes it
	r.assessment = a
	return r
}
