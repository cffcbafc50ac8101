package exchange

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

func TestCurlLine(t *testing.T) {
	for name, tt := range map[string]struct {
		x    Exchange
		want string
	}{
		"stream": {Exchange{Request: Request{Method: "POST", URL: "http://h/v1/completions?a=1&b=2",
			Header: http.Header{"Authorization": {"Bearer [redacted]"}, "Content-Type": {"application/json"}},
			Body:   []byte(`{"prompt":"it's $HOME","stream":true}`)}},
			`curl -sS -i -N -X POST 'http://h/v1/completions?a=1&b=2' -H "Authorization: Bearer $KEY" -H 'Content-Type: application/json' ` +
				`--data-binary '{"prompt":"it'\''s $HOME","stream":true}'`},
		"bare key, cookie, empty header": {Exchange{Request: Request{Method: "GET", URL: "http://[::1]:80/x",
			Header: http.Header{"Api-Key": {"k"}, "Cookie": {"a"}, "X-Empty": {""}}}},
			`curl -sS -i -g -X GET 'http://[::1]:80/x' -H "Api-Key: $KEY" -H 'X-Empty;'`},
		"no type": {Exchange{Request: Request{URL: "http://h/x", Body: []byte("{}")}, Response: &Response{Header: http.Header{"Content-Type": {"text/event-stream"}}}},
			`curl -sS -i -N http://h/x -H 'Content-Type:' --data-binary '{}'`},
		"at sign": {Exchange{Request: Request{URL: "http://h/x", Header: http.Header{"content-type": {"a/b"}}, Body: []byte("@file")}},
			`printf '%s' @file | curl -sS -i http://h/x -H 'content-type: a/b' --data-binary @-`},
		"bytes": {Exchange{Request: Request{URL: "http://h/x", Header: http.Header{"content-type": {"a/b"}}, Body: []byte("a'\\%\x00\xff\n")}},
			`printf '%b' 'a\0047\0134\0045\0000\0377\0012' | curl -sS -i http://h/x -H 'content-type: a/b' --data-binary @-`},
	} {
		if got := tt.x.Curl("KEY"); got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, tt.want)
		}
	}
}

// TestCurlSendsTheSame runs the lines that it makes.
func TestCurlSendsTheSame(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("no curl here")
	}
	bodies := make(chan string, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		bodies <- r.Method + " " + r.URL.String() + " " + r.Header.Get("Authorization") + " " + r.Header.Get("Content-Type") + " " + string(b)
	}))
	defer srv.Close()
	c, err := NewClient(Options{BaseURL: srv.URL, Key: "the key"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, body := range []string{
		"", `{"prompt":"it's \"$HOME\" ` + "`id`" + ` \n \\ !!"}`, "@x", "two\nlines\r\n", "\x00\xff'\\%s%b\\n",
		"{\"a\":\"" + strings.Repeat("é'", 60_000) + "\"}",
	} {
		g := NewWithT(t)
		x := c.Do(t.Context(), "x", Request{Path: "/a?b[]={c}&d='", Body: []byte(body)})
		g.Expect(x.Error).To(BeEmpty())
		want := <-bodies
		cmd := exec.Command("sh", "-s")
		cmd.Stdin = strings.NewReader(Redact(x, "the key").Curl("TEST_KEY"))
		cmd.Env = append(cmd.Environ(), "TEST_KEY=the key")
		out, err := cmd.CombinedOutput()
		g.Expect(err).NotTo(HaveOccurred(), string(out))
		g.Expect(string(out)).To(ContainSubstring("200 OK"))
		g.Expect(<-bodies).To(Equal(want))
	}
}
