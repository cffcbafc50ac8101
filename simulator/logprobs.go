package simulator

import (
	"math"

	"github.com/touchstone-llm/touchstone/engine"
)

// appendLogprobs appends the member logprobs: four arrays of equal length, with
// text_offset in code points of the answer (clauses LOG-002 to LOG-014,
// conflicts C26, C28).
func appendLogprobs(b []byte, tokens []engine.Token, _ int) []byte {
	b = append(b, `"logprobs":{"text_offset":[`...)
	for i, t := range tokens {
		b = appendInt(comma(b, i), t.Offset)
	}
	b = append(b, `],"token_logprobs":[`...)
	for i, t := range tokens {
		b = comma(b, i)
		if math.IsNaN(t.Logprob) { // the first of an echoed prompt (LOG-006)
			b = append(b, "null"...)
			continue
		}
		b = appendLogprob(b, t.Logprob)
	}
	b = append(b, `],"tokens":[`...)
	for i, t := range tokens {
		b = appendString(comma(b, i), t.Text)
	}
	b = append(b, `],"top_logprobs":[`...)
	for i, t := range tokens {
		b = comma(b, i)
		if math.IsNaN(t.Logprob) {
			b = append(b, "null"...)
			continue
		}
		b = appendTop(b, t)
	}
	return append(b, `]}`...)
}

// appendTop appends the candidates of a position as a dictionary. Tokens that
// read alike share a key; it has the value of the chosen one, else of the most
// likely (LOG-009).
func appendTop(b []byte, t engine.Token) []byte {
	b = append(b, '{')
	b = appendString(b, t.Text)
	b = append(b, ':')
	b = appendLogprob(b, t.Logprob)
	seen := map[string]bool{t.Text: true}
	for _, candidate := range t.Top {
		if candidate.ID == t.ID || seen[candidate.Text] {
			continue
		}
		seen[candidate.Text] = true
		b = append(b, ',')
		b = appendString(b, candidate.Text)
		b = append(b, ':')
		b = appendLogprob(b, candidate.Logprob)
	}
	return append(b, '}')
}

func comma(b []byte, i int) []byte {
	if i > 0 {
		b = append(b, ',')
	}
	return b
}

// appendContentLogprobs appends the member logprobs as OpenAI's chat has it: an
// object for each token, with the likeliest first (clauses LOG-016, LOG-018,
// LOG-019).
func appendContentLogprobs(b []byte, tokens []engine.Token, top int) []byte {
	b = append(b, `"logprobs":{"content":[`...)
	for i, t := range tokens {
		b = appendContentToken(comma(b, i), t.Text, t.Bytes, t.Logprob)
		b = append(b, `,"top_logprobs":[`...)
		for j, candidate := range t.Top[:min(top, len(t.Top))] {
			b = append(appendContentToken(comma(b, j), candidate.Text, []byte(candidate.Text), candidate.Logprob), '}')
		}
		b = append(b, `]}`...)
	}
	return append(b, `],"refusal":null}`...)
}

// appendContentToken leaves the object open.
func appendContentToken(b []byte, text string, bytes []byte, logprob float64) []byte {
	b = append(b, `{"token":`...)
	b = appendString(b, text)
	b = append(b, `,"logprob":`...)
	b = appendLogprob(b, logprob)
	b = append(b, `,"bytes":[`...)
	for i, x := range bytes {
		b = appendInt(comma(b, i), int(x))
	}
	return append(b, ']')
}
