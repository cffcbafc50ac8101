package engine

import "fmt"

// A Choice is everything that the steps of one choice said; see [Step] for the
// fields.
type Choice struct {
	Prompt            []Token // of choice 0 only
	Text              string
	Tokens            []Token
	Finish            FinishReason
	Generated         int
	CumulativeLogprob float64
}

// Collect joins the steps of n choices, in the order of their indices. With an
// error it returns what came before.
func Collect(steps Steps, n int) ([]Choice, error) {
	choices := make([]Choice, n)
	for s, err := range steps {
		if err != nil {
			return choices, err
		}
		if s.Choice < 0 || s.Choice >= n {
			return choices, fmt.Errorf("engine: a step of choice %d, of %d", s.Choice, n)
		}
		c := &choices[s.Choice]
		c.Prompt = append(c.Prompt, s.Prompt...)
		c.Text += s.Text
		c.Tokens = append(c.Tokens, s.Tokens...)
		c.Finish = s.Finish
		c.Generated = s.Generated
		c.CumulativeLogprob = s.CumulativeLogprob
	}
	return choices, nil
}
