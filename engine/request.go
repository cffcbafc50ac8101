package engine

import "iter"

// A Request asks for completions of one prompt.
//
// The parameters are those of vLLM 0.4 to 0.6; combinations that vLLM refuses
// (best_of below n, beams at temperature above 0, …) are refused by the caller:
// the engine only rejects what it cannot compute (see [Request.Validate]).
type Request struct {
	// Prompt holds the token ids of the prompt, at least one, BOS included.
	Prompt []int
	// MaxTokens is the most tokens generated for each choice, at least 1.
	// Prompt and MaxTokens together must fit in the context.
	MaxTokens int
	// N is how many choices are returned, at least 1.
	N int
	// BestOf is how many candidates are generated; the N with the highest mean
	// log probability a token (of all that were generated, EOS too) are returned, best first (clause BST-006; vLLM
	// ranks by the sum, which differs only where lengths do). 0 means N.
	// With UseBeamSearch it is the width of the beam.
	BestOf int
	// UseBeamSearch replaces sampling by beam search; see [EarlyStopping].
	UseBeamSearch bool
	// LengthPenalty is the power of its length by which a beam's log probability
	// is divided; nil is 1. Above 0 it favours long sequences, below 0 short ones.
	LengthPenalty *float64
	// EarlyStopping says when a beam search ends.
	EarlyStopping EarlyStopping
	// Temperature divides the logits, 0 and above. Below 1e-5 the choice is
	// greedy; a tie goes to the lowest token id.
	Temperature float64
	// TopP keeps the most probable tokens whose mass reaches it, in (0, 1]; of
	// equals the lower ids. Of those that TopK left, if it is set.
	TopP float64
	// TopK keeps the TopK most probable tokens, of equals the lower ids; 0 and -1
	// keep all.
	TopK int
	// MinP keeps the tokens at least MinP times as probable as the most probable
	// one, in [0, 1]; 0 keeps all.
	MinP float64
	// PresencePenalty is subtracted from the logit of each token that has been
	// generated already, in [-2, 2].
	PresencePenalty float64
	// FrequencyPenalty is subtracted from the logit of a token as often as it
	// has been generated already, in [-2, 2].
	FrequencyPenalty float64
	// RepetitionPenalty divides the logit, if above 0, or else multiplies it, of
	// each token that the prompt or the answer holds, in (0, 2]; 0 means 1, none.
	RepetitionPenalty float64
	// LogitBias is added to the logits of tokens by id, before all else. The
	// values are finite.
	LogitBias map[int]float64
	// MinTokens are generated before EOS, a stop token or a stop string may end
	// the choice, in [0, MaxTokens]: EOS and stop tokens are impossible until
	// then, and a stop string that is complete by then counts for nothing.
	MinTokens int
	// Seed makes sampling repeatable; nil draws one.
	Seed *int64
	// Stop holds strings that end a choice. The text ends before the match that
	// begins first, in whatever order they are given; no part of a match is ever
	// yielded. Where one match is complete and another that began earlier may
	// yet be, generation goes on until that is decided.
	Stop []string
	// StopTokenIDs end a choice when generated. Such a token stays in the text
	// unless it is special and not shown (source document: stop_token_ids).
	StopTokenIDs []int
	// IgnoreEOS goes on past end-of-sequence tokens.
	IgnoreEOS bool
	// KeepSpecialTokens shows special tokens in the text (the reverse of
	// skip_special_tokens, so that the zero value is the usual setting).
	KeepSpecialTokens bool
	// Logprobs is how many alternatives are reported for each token beside the
	// chosen one, in [0, 20]; negative reports none and no Token at all.
	Logprobs int
	// PromptLogprobs asks for the prompt's own log probabilities, with so many
	// alternatives, in [0, 20]; see [Step.Prompt]. With it MaxTokens may be 0.
	PromptLogprobs *int
	// Constraint is what the text of every choice must match; nil is anything.
	Constraint *Constraint
}

// EarlyStopping says when a beam search ends once BestOf sequences have
// finished. It always ends when none runs any more.
type EarlyStopping int

const (
	// EarlyStoppingFalse ends it when no running sequence has a better score
	// than the worst of the finished ones that are kept.
	EarlyStoppingFalse EarlyStopping = iota
	// EarlyStoppingTrue ends it at once.
	EarlyStoppingTrue
	// EarlyStoppingNever ends it when no running sequence could reach a better
	// score, however long it became.
	EarlyStoppingNever
)

// FinishReason says why a choice ended.
type FinishReason string

const (
	// FinishStop is an end-of-sequence token, a stop token or a stop string.
	FinishStop FinishReason = "stop"
	// FinishLength is max_tokens or the end of the context.
	FinishLength FinishReason = "length"
)

// A Step is what a request yields: some decided text of one choice.
//
// Text is decided when no later token can change it: it holds whole UTF-8
// characters and no part of a stop string that may still match. Steps of
// several choices interleave. With best_of above n, or beams, nothing is
// decided before the end, so each choice comes as one step.
type Step struct {
	// Choice is the index of the choice, 0 to N-1.
	Choice int
	// Prompt holds the tokens of the prompt, only in the first step of a request
	// with PromptLogprobs, which has nothing else and is of choice 0. The log
	// probabilities are the model's own: no penalty, temperature or cut is
	// applied. The first token has none (Logprob 0, Top nil). Their Texts join to
	// the text of the prompt; special tokens have Text "" if they are not shown.
	Prompt []Token
	// Text continues the text of the choice; it may be empty.
	Text string
	// Tokens are the tokens that ended in this step's Text, with their log
	// probabilities; empty unless Request.Logprobs is 0 or more.
	//
	// Their Texts join to the text of the choice, but for what a stop string
	// cut: a token that begins before the cut is here with its full Text, one
	// that begins at the cut or later is not. A special token that is not shown
	// has no Bytes and the Text ""; if it ended the choice it is not here.
	Tokens []Token
	// Finish is empty until the last step of the choice.
	Finish FinishReason
	// Generated counts the tokens generated for the choice so far, with those
	// that a stop string, an end-of-sequence token or skip_special_tokens
	// removed from the text.
	Generated int
	// CumulativeLogprob is the sum of the log probabilities of those tokens.
	CumulativeLogprob float64
}

// A Token is one generated token and how likely it was.
type Token struct {
	ID int
	// Bytes is the piece of text of the token, perhaps part of a character. The
	// caller must not change it.
	Bytes []byte
	// Text is Bytes as text. The bytes of a character that spans several
	// tokens belong to the last of them; the earlier ones have Text "". Bytes
	// that never become a character are U+FFFD, in the token by which that is
	// certain.
	Text string
	// Logprob is the natural logarithm of the probability of the token after
	// penalties, temperature, top_k, top_p and min_p, as vLLM 0.4 to 0.6 report
	// it; at temperature 0 only penalties count. Never above 0.
	Logprob float64
	// Top holds the Request.Logprobs most likely tokens, most likely first,
	// and then the chosen one if it is not among them.
	Top []TokenLogprob
	// Offset is where Text starts in the text of the choice, in code points.
	Offset int
}

// A TokenLogprob is a candidate for a position. An impossible token has
// Logprob -9999, as vLLM writes it. Text is what the token by itself would be,
// specials by their names; that of the chosen token is its Token.Text.
type TokenLogprob struct {
	ID      int
	Text    string
	Logprob float64
}

// Steps is the sequence of steps of one request. It ends after the last step
// of the last choice, or with an error: the context's, [ErrClosed], a
// [*ContextError], or another of [Request.Validate].
type Steps = iter.Seq2[Step, error]
