package schemas_test

import (
	"fmt"

	"github.com/touchstone-llm/touchstone/schemas"
)

func ExampleLookup() {
	c, ok := schemas.Lookup("STR-006")
	fmt.Println(ok, c.Area(), c.Level(schemas.Interop))
	fmt.Println(c.Statement)
	// Output:
	// true STR MUST
	// The stream ends with exactly one data: [DONE].
}

func ExampleValidate() {
	body := []byte(`{"id":"a","object":"text_completion","created":1729000000,"model":"m",
		"choices":[{"index":0,"text":"t","finish_reason":null}],
		"usage":{"prompt_tokens":"1","completion_tokens":2,"total_tokens":3}}`)
	for _, v := range schemas.Validate("llama-v1", schemas.Completions, schemas.ResponseBody, body) {
		fmt.Println(v)
	}
	// Output:
	// /choices/0/finish_reason: expected one of "stop", "length", "content_filter", "content_filter_error", saw null
	// /usage/prompt_tokens: expected an integer, saw "1"
}
