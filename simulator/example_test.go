package simulator_test

import (
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"strings"

	"github.com/touchstone-llm/touchstone/engine"
	"github.com/touchstone-llm/touchstone/fixtures/model"
	"github.com/touchstone-llm/touchstone/simulator"
)

// A client's test runs against the reference endpoint in its own process, here
// with a defect: what if [DONE] never comes?
func Example() {
	m, err := engine.Load(model.GGUF)
	if err != nil {
		log.Fatal(err)
	}
	server, err := simulator.New(simulator.Options{
		Engine:  engine.New(m, engine.Options{}),
		Defects: []string{"done-missing"},
	})
	if err != nil {
		log.Fatal(err)
	}
	h := httptest.NewServer(server)
	defer h.Close()

	response, err := h.Client().Post(h.URL+"/v1/chat/completions", "application/json", strings.NewReader(
		`{"messages": [{"role": "user", "content": "Say hello."}], "stream": true, "temperature": 0}`))
	if err != nil {
		log.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(response.Header.Get("Content-Type"))
	fmt.Println(strings.Contains(string(body), "data: [DONE]"))
	// Output:
	// text/event-stream
	// false
}

// Each defect names the clauses of the contract that catch it.
func ExampleDefects() {
	for _, d := range simulator.Defects() {
		if d.Name == "done-missing" {
			fmt.Println(d.Sentence, d.Clauses)
		}
	}
	// Output: Streams end without [DONE]. [STR-006 SAF-010]
}
