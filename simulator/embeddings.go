package simulator

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"math"
	"net/http"
	"strconv"

	"github.com/tidwall/gjson"
)

// An Embedder is a [Generator] that also turns tokens into vectors. Without one
// there is no embeddings route (ERR-014).
type Embedder interface {
	// Embed returns a vector of length 1 that stands for tokens.
	Embed(ctx context.Context, tokens []int) ([]float32, error)
}

// embeddings has no shape beyond the identifier.
var embeddings = shape{idPrefix: "embd-"}

// encodingFormat is how vectors are written.
func encodingFormat(formats ...any) parameter {
	return parameter{name: "encoding_format", kind: text, fallback: "float", bounds: []bound{oneOf("encoding_format", formats...)}}
}

// embed answers with a vector for each input.
func embed(c *call, ctx context.Context, w http.ResponseWriter) {
	b := []byte(`{"object":"list","data":[`)
	for i, tokens := range c.prompts {
		vector, err := c.generator.(Embedder).Embed(ctx, tokens)
		switch {
		case ctx.Err() != nil: // the client has gone
			return
		case err != nil:
			c.refuse(w, c.failed(err))
			return
		}
		if dimensions := c.values.int("dimensions"); c.values.given("dimensions") && dimensions != len(vector) {
			c.refuse(w, unsupported("dimensions", "dimensions must be %d, which is what the model has, got %d.", len(vector), dimensions))
			return
		}
		b = append(comma(b, i), `{"object":"embedding","index":`...)
		b = appendInt(b, i)
		b = append(b, `,"embedding":`...)
		b = append(appendVector(b, vector, c.values.text("encoding_format")), '}')
	}
	b = append(b, `],"model":`...)
	b = appendString(b, c.model)
	b = append(b, `,"usage":{"prompt_tokens":`...)
	b = appendInt(b, c.promptTokens())
	b = append(b, `,"total_tokens":`...)
	b = append(appendInt(b, c.promptTokens()), `}}`...)
	for _, change := range c.hooks.answer {
		b = change(c, b)
	}
	c.send(w, b)
}

// appendVector appends numbers, or little-endian 32-bit floats as base64.
func appendVector(b []byte, vector []float32, format string) []byte {
	if format == "base64" {
		raw := make([]byte, 0, 4*len(vector))
		for _, x := range vector {
			raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(x))
		}
		b = append(b, '"')
		b = base64.StdEncoding.AppendEncode(b, raw)
		return append(b, '"')
	}
	b = append(b, '[')
	for i, x := range vector {
		b = strconv.AppendFloat(comma(b, i), float64(x), 'g', -1, 32)
	}
	return append(b, ']')
}

// inputLength is the stage 'context' of embeddings: an input fits in the context.
func inputLength(c *call) *refusal {
	if _, ok := c.generator.(Embedder); !ok {
		return refuse(http.StatusNotFound, "not_found", "The model makes no embeddings.")
	}
	if bad := c.encode(); bad != nil {
		return bad
	}
	most := c.generator.Config().ContextLength
	for i, p := range c.prompts {
		if len(p) > most {
			return invalid(codeContext, "input", "This model's maximum context length is %d tokens. However, input %d has %d tokens. "+
				"Please reduce the length of the input.", most, i, len(p))
		}
	}
	return nil
}

// typedInputs reads texts to embed: those of azure-inference have no tokens.
func typedInputs(p *parameter, v gjson.Result, wrong func() *refusal) (any, *refusal) {
	for _, item := range v.Array() {
		if item.Type != gjson.String {
			return nil, wrong()
		}
	}
	return typedPrompts(p, v, wrong)
}

var _ Embedder = local{}
