package simulator

import (
	"fmt"

	"github.com/tidwall/gjson"
)

// A prompt is one of a batch: a text, or tokens.
type prompt struct {
	text   string
	tokens []int
}

// typedPrompts reads a prompt in any of its four forms: a text, texts, token
// ids, or lists of token ids (clauses REQ-027, REQ-029, REQ-030, conflict C46).
func typedPrompts(p *parameter, v gjson.Result, wrong func() *refusal) (any, *refusal) {
	if v.Type == gjson.String {
		return []prompt{{text: v.Str}}, nil
	}
	if !v.IsArray() {
		return nil, wrong()
	}
	items := v.Array()
	if len(items) == 0 {
		return nil, invalid(codeRange, p.name, "%s is empty; send %s.", p.name, p.kind)
	}
	if items[0].Type == gjson.Number {
		tokens, bad := tokenIDs(p.name, items)
		return []prompt{{tokens: tokens}}, bad
	}
	if len(items) > p.most {
		return nil, invalid(codeRange, p.name, "%s can hold at most %d prompts, got %d.", p.name, p.most, len(items))
	}
	batch := make([]prompt, len(items))
	for i, item := range items {
		where := fmt.Sprintf("%s[%d]", p.name, i)
		switch {
		case item.Type == gjson.String && items[0].Type == gjson.String:
			batch[i].text = item.Str
		case item.IsArray() && items[0].IsArray():
			tokens, bad := tokenIDs(where, item.Array())
			if bad != nil {
				return nil, bad
			}
			batch[i].tokens = tokens
		default:
			return nil, invalid(codeType, where, "%s must be %s; %s is %s.", p.name, p.kind, where, shown(item))
		}
	}
	return batch, nil
}

// tokenIDs reads a list of token ids that is not empty.
func tokenIDs(where string, items []gjson.Result) ([]int, *refusal) {
	if len(items) == 0 {
		return nil, invalid(codeRange, where, "%s is empty; send at least one token id.", where)
	}
	tokens := make([]int, len(items))
	for i, item := range items {
		id, err := exactInt(item)
		if err != nil || id < 0 || id > mostTokenID {
			return nil, invalid(codeType, where, "%s must hold token ids, 0 or above; element %d is %s.", where, i, shown(item))
		}
		tokens[i] = int(id)
	}
	return tokens, nil
}
