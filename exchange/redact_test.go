package exchange

import (
	"encoding/json"
	"html"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

// hard is a key with every kind of character that encoders escape.
const hard = `sk-AB+c/d=e "f"\g&<ü😀%41 z`

func TestRedactEveryForm(t *testing.T) {
	quoted, _ := json.Marshal(hard)
	asJSON := strings.Trim(string(quoted), `"`)
	twice, _ := json.Marshal(asJSON)
	ascii := strings.NewReplacer("ü", `\u00FC`, "😀", `\ud83d\ude00`, "/", `\/`, "+", `\u002b`, `"`, `\"`, `\`, `\\`).Replace(hard)
	for name, form := range map[string]string{
		"plain":              hard,
		"JSON":               asJSON,
		"JSON in JSON":       strings.Trim(string(twice), `"`),
		"JSON in ASCII":      ascii,
		"query":              url.QueryEscape(hard),
		"path":               url.PathEscape(hard),
		"lower-case percent": strings.ReplaceAll(url.QueryEscape(hard), "%2B", "%2b"),
		"HTML":               html.EscapeString(hard),
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			body := `{"prompt_tokens":5,"message":"bad key ` + form + `."}` + form + form
			x := Redact(&Exchange{
				Error:   "dial " + form,
				Request: Request{Path: "/a?b=" + form, URL: "http://h/" + form, Body: []byte(body), Header: http.Header{"X-Echo": {form + "!", "ok"}}},
				Response: &Response{Body: []byte(body), Head: []byte("HTTP/1.1 401 no " + form + "\r\nX-E: " + form + "\r\n\r\n"),
					Header: http.Header{"Www-Authenticate": {`Bearer error="` + form + `"`}}},
			}, "other", hard, "")
			want := `{"prompt_tokens":5,"message":"bad key [redacted]."}[redacted][redacted]`
			g.Expect(string(x.Request.Body)).To(Equal(want))
			g.Expect(string(x.Response.Body)).To(Equal(want))
			g.Expect(x.Error).To(Equal("dial [redacted]"))
			g.Expect(x.Request.Path).To(Equal("/a?b=[redacted]"))
			g.Expect(x.Request.URL).To(Equal("http://h/[redacted]"))
			g.Expect(x.Request.Header).To(Equal(http.Header{"X-Echo": {"[redacted]!", "ok"}}))
			g.Expect(string(x.Response.Head)).To(Equal("HTTP/1.1 401 no [redacted]\r\nX-E: [redacted]\r\n\r\n"))
			g.Expect(x.Response.Header).To(Equal(http.Header{"Www-Authenticate": {`Bearer error="[redacted]"`}}))
		})
	}
}

func TestShows(t *testing.T) {
	for _, c := range []struct {
		secret, header, body string
		want                 bool
	}{
		{hard, "", hard, true},
		{hard, "", url.QueryEscape(hard), true},
		{hard, "X-Echo: " + hard, "", true},
		{hard, "Set-Cookie: " + hard, "", false}, // as every cookie is hidden
		{hard, "", "another", false},
		{"error", "", `{"error":{"message":"no"}}`, false},
		{"error", "", `{"error":{"message":"no error"}}`, true},
		{"no", "", "no", false}, // too short
		{Redacted, "", "key " + Redacted, true},
		{Redacted, "Set-Cookie: " + Redacted, "", false},
		{"", "", "text", false},
	} {
		x := &Exchange{Response: &Response{Header: http.Header{}, Body: []byte(c.body)}}
		if name, value, ok := strings.Cut(c.header, ": "); ok {
			x.Response.Header.Set(name, value)
		}
		if got := Shows(x, c.secret); got != c.want {
			t.Errorf("%q in %q, %q: %t", c.secret, c.header, c.body, got)
		}
	}
	if Shows(&Exchange{}, hard) || Shows(nil, hard) {
		t.Error("no response shows anything")
	}
}

func TestRedactCredentials(t *testing.T) {
	g := NewWithT(t)
	x := &Exchange{
		Request: Request{
			URL:  "https://me:pw@h/p?api-key=zzz&api-version=2&sig=a%20b#f",
			Path: "/p?API_KEY=zzz",
			Header: http.Header{"Authorization": {"Bearer abc def"}, "api-key": {"abc"}, "X-Api-Key": {"abc"}, "Cookie": {"a=b"},
				"Proxy-Authorization": {"bare"}, "authorization": {"  "}, "Accept": {"*/*"}},
		},
		Response: &Response{
			Header: http.Header{"Set-Cookie": {"s=1", "t=2"}},
			Head:   []byte("HTTP/1.1 200 OK\nset-cookie:  s=1;\n more=2\nX-A: 1\n cont\nAPI-Key: q\n\n"),
		},
	}
	y := Redact(x)
	g.Expect(y.Request.URL).To(Equal("https://[redacted]@h/p?api-key=[redacted]&api-version=2&sig=[redacted]#f"))
	g.Expect(y.Request.Path).To(Equal("/p?API_KEY=[redacted]"))
	g.Expect(y.Request.Header).To(Equal(http.Header{"Authorization": {"Bearer [redacted]"}, "api-key": {"[redacted]"},
		"X-Api-Key": {"[redacted]"}, "Cookie": {"[redacted]"}, "Proxy-Authorization": {"[redacted]"}, "authorization": {"  "}, "Accept": {"*/*"}}))
	g.Expect(y.Response.Header).To(Equal(http.Header{"Set-Cookie": {"[redacted]", "[redacted]"}}))
	g.Expect(string(y.Response.Head)).To(Equal("HTTP/1.1 200 OK\nset-cookie:  [redacted]\n [redacted]\nX-A: 1\n cont\nAPI-Key: [redacted]\n\n"))
	g.Expect(Redact(y)).To(Equal(y), "twice is once")
	g.Expect(x.Request.Header.Get("Authorization")).To(Equal("Bearer abc def"), "the original stays")
	g.Expect(Redact(nil)).To(BeNil())
	g.Expect(Redact(&Exchange{ID: "a"})).To(Equal(&Exchange{ID: "a"}))
}

func TestRedactLeavesTheContractReadable(t *testing.T) {
	const body = `{"id":"k1","object":"text_completion","usage":{"prompt_tokens":7,"total_tokens":7},"text":"two tokens, \ntokens1 \u000atokens"}`
	for secret, want := range map[string]string{
		"k":               body,
		"7":               body,
		"tokens":          strings.NewReplacer("two tokens,", "two [redacted],", "a"+"tokens", "a[redacted]").Replace(body),
		"prompt_tokens":   body,
		"completion":      body,
		"text_completion": strings.Replace(body, "text_completion", "[redacted]", 1),
		"usage":           body,
		"two tokens":      strings.Replace(body, "two tokens", "[redacted]", 1),
		"tokens1":         strings.Replace(body, "tokens1", "[redacted]", 1),
	} {
		x := Redact(&Exchange{Response: &Response{Body: []byte(body)}}, secret)
		if got := string(x.Response.Body); got != want {
			t.Errorf("secret %q:\n got %s\nwant %s", secret, got, want)
		}
		if !json.Valid(x.Response.Body) {
			t.Errorf("secret %q: no longer JSON", secret)
		}
	}
}

func TestRedactLongerSecretFirst(t *testing.T) {
	g := NewWithT(t)
	x := Redact(&Exchange{Error: "key-12345678-more and key-12345678"}, "key-12345678", "key-12345678-more")
	g.Expect(x.Error).To(Equal("[redacted] and [redacted]"))
	x = Redact(&Exchange{Error: "abcdefgh ijklmnop"}, "abcdefgh ijkl", "ijkl")
	g.Expect(x.Error).To(Equal("[redacted]mnop"))
}

func TestRedactMovesReads(t *testing.T) {
	g := NewWithT(t)
	body := "data: a\n\ndata: secret-key-1\n\ndata: secret-key-1!\n\ndata: z\n\n"
	var reads []Read
	for i := range len(body) { // one byte at a time
		reads = append(reads, Read{At: time.Duration(i), End: i + 1})
	}
	x := &Exchange{Response: &Response{Body: []byte(body), Reads: reads}}
	before := x.Response.Stream()
	y := Redact(x, "secret-key-1")
	after := y.Response.Stream()
	g.Expect(string(y.Response.Body)).To(Equal("data: a\n\ndata: [redacted]\n\ndata: [redacted]!\n\ndata: z\n\n"))
	g.Expect(after.Events).To(HaveLen(4))
	for i := range after.Events {
		g.Expect(after.Events[i].At).To(Equal(before.Events[i].At))
	}
	g.Expect(y.check2()).To(Succeed())
	y.Response.Body[0] = 'X'
	y.Response.Reads[0].End = 99
	g.Expect(x.Response.Body[0]).To(Equal(byte('d')))
	g.Expect(x.Response.Reads[0].End).To(Equal(1))
}

// check2 is check for an exchange whose id does not matter.
func (x *Exchange) check2() error {
	c := *x
	c.ID = "x"
	return c.check()
}

func FuzzRedact(f *testing.F) {
	f.Add("secret-key-1", "a secret-key-1 b", 3)
	f.Add(hard, hard+hard, 7)
	f.Add("\xff\xfe secret", "\xff\xfe secret", 2)
	f.Fuzz(func(t *testing.T, secret, body string, at int) {
		x := &Exchange{Error: body, Response: &Response{Body: []byte(body), Head: []byte(body)}}
		if at >= 0 && at <= len(body) {
			x.Response.Reads = []Read{{End: at}, {End: len(body)}}
		}
		y := Redact(x, secret)
		if err := y.check2(); err != nil {
			t.Fatal(err)
		}
		s := strings.TrimSpace(secret)
		if len(s) >= 8 && !strings.Contains(words, s) && strings.Contains(strings.ReplaceAll(string(y.Response.Body), Redacted, "\x00"), s) {
			t.Fatalf("%q is left in %q", s, y.Response.Body)
		}
	})
}
