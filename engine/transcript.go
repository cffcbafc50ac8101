package engine

import (
	"slices"
	"unicode/utf8"
)

// A transcript writes down what one choice generates: it turns tokens into
// text, decides where the choice ends, and keeps back what later tokens may
// still change.
//
// The conditions for the end are tried in vLLM's order: none before min_tokens,
// then EOS, stop_token_ids, stop strings, max_tokens. So the last permitted token may end a choice with
// [FinishStop].
type transcript struct {
	tokenizer *Tokenizer
	request   *Request

	decoder utf8Decoder
	stops   stopFinder
	decided int // code points of the text that are decided
	length  int // and all of them

	tokens []heldToken // those that are not reported yet
	open   int         // index in tokens of the one in which the decoder's pending bytes begin

	last      int // the last token
	generated int
	logprob   float64
	finish    FinishReason
}

// A heldToken is a token and where its Text ends, in code points.
type heldToken struct {
	Token
	end int
}

func newTranscript(t *Tokenizer, r *Request) transcript {
	return transcript{tokenizer: t, request: r, stops: stopFinder{stops: r.Stop}}
}

// fork returns a copy that can go its own way.
func (t *transcript) fork() transcript {
	f := *t
	f.tokens = slices.Clip(f.tokens) // the next append copies
	return f
}

// accept takes the next token, drawn from the log probabilities logp, and
// returns what is decided by it. The choice has ended if Finish is set.
func (t *transcript) accept(id int, logp []float64) Step {
	r := t.request
	t.last = id
	t.generated++
	t.logprob += logp[id]

	ends := t.generated >= r.MinTokens && (!r.IgnoreEOS && slices.Contains(t.tokenizer.EOS(), id) || slices.Contains(r.StopTokenIDs, id))
	hidden := t.tokenizer.Special(id) && !r.KeepSpecialTokens
	var text string
	if !(hidden && ends) { // a special token that ends a choice leaves no trace
		text = t.add(id, logp, hidden)
	}
	if ends || t.generated >= r.MaxTokens {
		text += t.flush()
	}
	t.length += utf8.RuneCountInString(text)

	var decided string
	found := false
	if t.generated < r.MinTokens {
		decided = t.stops.pass(text)
	} else {
		decided, found = t.stops.write(text)
	}
	switch {
	case found || ends:
		t.finish = FinishStop
	case t.generated >= r.MaxTokens:
		t.finish = FinishLength
	}
	if t.finish != "" && !found {
		var rest string
		if rest, found = t.stops.flush(); found {
			t.finish = FinishStop
		}
		decided += rest
	}
	t.decided += utf8.RuneCountInString(decided)
	return Step{
		Text:              decided,
		Tokens:            t.release(found),
		Finish:            t.finish,
		Generated:         t.generated,
		CumulativeLogprob: t.logprob,
	}
}

// add notes a token and returns the text that it completes.
func (t *transcript) add(id int, logp []float64, hidden bool) string {
	var piece []byte
	if !hidden {
		piece = t.tokenizer.Bytes(id)
	}
	text := t.decoder.write(piece)
	if t.request.Logprobs < 0 {
		return text
	}
	token := Token{ID: id, Bytes: piece, Text: text, Offset: t.length}
	if logp != nil {
		token.Logprob = logp[id]
		token.Top = t.top(id, logp, text)
	}
	// Bytes that are pending and more than this token's began earlier.
	if n := len(t.decoder.pending); n == 0 {
		t.open = len(t.tokens) + 1
	} else if n <= len(piece) {
		t.open = len(t.tokens)
	}
	t.tokens = append(t.tokens, heldToken{token, t.length + utf8.RuneCountInString(text)})
	return text
}

// top returns the alternatives to id, whose own text is given.
func (t *transcript) top(id int, logp []float64, text string) []TokenLogprob {
	ids := best(logp, t.request.Logprobs)
	if !slices.Contains(ids, id) {
		ids = append(ids, id)
	}
	top := make([]TokenLogprob, len(ids))
	for i, other := range ids {
		top[i] = TokenLogprob{ID: other, Text: text, Logprob: logp[other]}
		if other != id {
			top[i].Text = t.tokenizer.text(other)
		}
	}
	return top
}

// prompt notes a token that was given, not generated; logp is nil if nothing
// came before it.
func (t *transcript) prompt(id int, logp []float64) {
	text := t.add(id, logp, t.tokenizer.Special(id) && !t.request.KeepSpecialTokens)
	t.length += utf8.RuneCountInString(text)
}

// promptTokens ends the prompt and returns its tokens.
func (t *transcript) promptTokens() []Token {
	t.flush()
	tokens := make([]Token, len(t.tokens))
	for i := range t.tokens {
		tokens[i] = t.tokens[i].Token
	}
	return tokens
}

// flush ends the text. What stands for an incomplete character belongs to the
// last token that had bytes of it.
func (t *transcript) flush() string {
	text := t.decoder.flush()
	if text == "" {
		return ""
	}
	t.tokens = slices.Clone(t.tokens)
	for i := len(t.tokens) - 1; i >= 0; i-- {
		k := &t.tokens[i]
		k.end++
		if len(k.Bytes) == 0 {
			k.Offset++
			continue
		}
		k.Text += text
		k.Top = slices.Clone(k.Top)
		for j := range k.Top {
			if k.Top[j].ID == k.ID {
				k.Top[j].Text = k.Text
			}
		}
		break
	}
	t.open = len(t.tokens)
	return text
}

// release returns the tokens whose text is decided. At a cut by a stop string
// these are all that begin before it; the rest is dropped.
func (t *transcript) release(cut bool) []Token {
	var out []Token
	n := 0
	for n < len(t.tokens) {
		k := &t.tokens[n]
		if cut {
			if k.Offset >= t.decided {
				break
			}
		} else if t.finish == "" && (n >= t.open || k.end > t.decided) {
			break
		}
		out = append(out, k.Token)
		n++
	}
	t.tokens = t.tokens[n:]
	t.open -= n
	return out
}
