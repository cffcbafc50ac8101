package exchange_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/touchstone-llm/touchstone/exchange"
)

func ExampleClient_Do() {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, "data: {\"text\":\"Hello\"}\n\ndata: [DONE]\n\n")
	}))
	defer srv.Close()

	c, err := exchange.NewClient(exchange.Options{BaseURL: srv.URL, Key: "secret-key"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	x := c.Do(context.Background(), "hello", exchange.Request{
		Path: "/v1/completions",
		Body: []byte(`{"prompt":"Say hello","stream":true}`),
	})
	if x.Error != "" {
		fmt.Println(x.Error)
		return
	}
	for _, e := range x.Response.Stream().Events {
		fmt.Println(e.Payload(), e.Done())
	}
	fmt.Println(exchange.Redact(x, "secret-key").Request.Header.Get("Authorization"))
	// Output:
	// {"text":"Hello"} false
	// [DONE] true
	// Bearer [redacted]
}
