package exchange

import (
	"bytes"
	"fmt"
	"html"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Redacted stands in place of a secret.
const Redacted = "[redacted]"

// ShortestSecret is how many bytes a secret has at least that is looked for.
const ShortestSecret = 4

// credentials are the headers whose value is a secret whatever it is.
var credentials = regexp.MustCompile(`(?i)^(authorization|proxy-authorization|(x-)?api-key|` +
	`ocp-apim-subscription-key|cookie|set-cookie)$`)

// scheme is the harmless first word of an Authorization value.
var scheme = regexp.MustCompile(`(?i)^(bearer|basic|digest|token|apikey|negotiate)[ \t]+`)

// credentialQuery finds the parameters of a URL that carry a secret.
var credentialQuery = regexp.MustCompile(`(?i)([?&](?:api[-_]?key|access_token|sig)=)[^&#]*`)

// words are the member names and constants of the contract. A secret that is
// part of one, such as "tokens", must not make evidence unreadable.
const words = "choices completion_tokens content content_filter_error created data delta error finish_reason index " +
	"length logprobs message messages model object prompt_tokens role stop stream system text_completion " +
	"text_offsets token_logprobs top_logprobs tokens total_tokens usage assistant user chat.completion.chunk " +
	"best_of ignore_eos max_tokens presence_penalty skip_special_tokens stop_token_ids temperature use_beam_search " +
	"application/json text/event-stream false null true"

// Redact returns a deep copy of x without secrets. In the URL, the headers,
// the bodies and Error each of secrets becomes "[redacted]", also where it is
// escaped for JSON, URLs or HTML; the headers that carry credentials and
// cookies lose their values whatever these are. Reads follow the bodies'
// change of length.
//
// A secret of fewer than 8 bytes, or one that is part of a word of the
// contract, is replaced only where it stands as a word by itself and is not
// the name of a JSON member; one shorter than [ShortestSecret] only in the headers
// that carry credentials, since little else of the evidence would be left.
func Redact(x *Exchange, secrets ...string) *Exchange {
	if x == nil {
		return nil
	}
	r := newRedactor(secrets)
	c := *x
	c.Error = r.text(x.Error)
	c.Request.Path = r.url(x.Request.Path)
	c.Request.URL = r.url(x.Request.URL)
	c.Request.Header = r.header(x.Request.Header)
	c.Request.Body, _ = r.bytes(x.Request.Body)
	if x.Response != nil {
		p := *x.Response
		p.Header = r.header(p.Header)
		p.Head = r.head(p.Head)
		var moved func(int) int
		p.Body, moved = r.bytes(x.Response.Body)
		p.Reads = slices.Clone(p.Reads)
		for i := range p.Reads {
			p.Reads[i].End = moved(p.Reads[i].End)
		}
		c.Response = &p
	}
	return &c
}

// Shows is whether the response of x holds secret where [Redact] would find it,
// in the body or in a header that carries no credentials. In what Redact returned
// it finds [Redacted].
func Shows(x *Exchange, secret string) bool {
	if x == nil || x.Response == nil {
		return false
	}
	r := newRedactor([]string{secret})
	found := func(b []byte) bool { return len(r.spans(b)) > 0 }
	for name, values := range x.Response.Header {
		if !credentials.MatchString(name) && slices.ContainsFunc(values, func(v string) bool { return found([]byte(v)) }) {
			return true
		}
	}
	return found(x.Response.Body)
}

// A redactor finds secrets.
type redactor struct {
	anywhere *regexp.Regexp // nil: no such secret
	words    *regexp.Regexp // replaced only as words
}

func newRedactor(secrets []string) *redactor {
	// Longer first: of two that begin alike the whole is to go.
	secrets = slices.Clone(secrets)
	slices.SortFunc(secrets, func(a, b string) int { return len(b) - len(a) })
	var anywhere, whole []string
	for _, s := range secrets {
		switch s = strings.TrimSpace(s); {
		case len(s) < ShortestSecret:
		case len(s) < 8 || strings.Contains(words, s):
			whole = append(whole, pattern(s))
		default:
			anywhere = append(anywhere, pattern(s))
		}
	}
	compile := func(patterns []string) *regexp.Regexp {
		if len(patterns) == 0 {
			return nil
		}
		return regexp.MustCompile(strings.Join(patterns, "|"))
	}
	return &redactor{compile(anywhere), compile(whole)}
}

// pattern matches s with each character plain or escaped in any of the usual
// ways. Letters and digits are never escaped by an encoder.
func pattern(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		raw := s[i : i+n]
		i += n
		if r < utf8.RuneSelf && (r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z') {
			b.WriteString(raw)
			continue
		}
		if r == utf8.RuneError && n == 1 { // a byte that is not UTF-8
			fmt.Fprintf(&b, `(?:\x{FFFD}|(?i:%%%02x|\\+ufffd))`, raw[0])
			continue
		}
		// Backslashes are doubled where JSON stands in a JSON string.
		forms := []string{`\\*` + regexp.QuoteMeta(raw), `\\+u` + utf16Hex(r, `\\+u`)}
		percent := ""
		for _, c := range []byte(raw) {
			percent += fmt.Sprintf("%%%02x", c)
		}
		forms = append(forms, percent)
		if h := html.EscapeString(raw); h != raw {
			forms = append(forms, regexp.QuoteMeta(h))
		}
		switch r {
		case ' ':
			forms = append(forms, `\+`)
		case '\t':
			forms = append(forms, `\\+t`)
		}
		b.WriteString("(?i:" + strings.Join(forms, "|") + ")")
	}
	return "(?:" + b.String() + ")"
}

// utf16Hex is r in the hexadecimal of UTF-16, with between set between the
// two halves of a pair.
func utf16Hex(r rune, between string) string {
	if hi, lo := utf16.EncodeRune(r); hi != utf8.RuneError {
		return fmt.Sprintf("%04x%s%04x", hi, between, lo)
	}
	return fmt.Sprintf("%04x", r)
}

// spans are the secrets in b, in order and apart from one another.
func (r *redactor) spans(b []byte) [][]int {
	var all [][]int
	if r.anywhere != nil {
		all = r.anywhere.FindAllIndex(b, -1)
	}
	if r.words != nil {
		for _, m := range r.words.FindAllIndex(b, -1) {
			if isWord(b, m[0], m[1]) && !isMember(b, m[0], m[1]) {
				all = append(all, m)
			}
		}
	}
	slices.SortFunc(all, func(a, b []int) int { return a[0] - b[0] })
	var apart [][]int
	for _, m := range all {
		if n := len(apart); n > 0 && m[0] < apart[n-1][1] {
			apart[n-1][1] = max(apart[n-1][1], m[1])
			continue
		}
		apart = append(apart, m)
	}
	return apart
}

// escapeEnd is an escape whose last letter is no part of the word behind it.
var escapeEnd = regexp.MustCompile(`(\\[bfnrt]|\\u[0-9A-Fa-f]{4}|%[0-9A-Fa-f]{2})$`)

// isWord is whether b[i:j] has no letter, digit or underscore beside it.
func isWord(b []byte, i, j int) bool {
	letter := func(c byte) bool {
		return c == '_' || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= utf8.RuneSelf
	}
	if j < len(b) && letter(b[j]) {
		return false
	}
	return i == 0 || !letter(b[i-1]) || escapeEnd.Match(b[max(0, i-6):i])
}

// isMember is whether b[i:j] is the quoted name of a JSON member.
func isMember(b []byte, i, j int) bool {
	if i == 0 || b[i-1] != '"' || j == len(b) || b[j] != '"' {
		return false
	}
	return bytes.HasPrefix(bytes.TrimLeft(b[j+1:], " \t\r\n"), []byte(":"))
}

// bytes returns a copy of b without secrets, nil if b is, and a function from
// the offsets of b to those of the copy.
func (r *redactor) bytes(b []byte) ([]byte, func(int) int) {
	spans := r.spans(b)
	if len(spans) == 0 {
		return bytes.Clone(b), func(i int) int { return i }
	}
	var out []byte
	end := 0
	for _, m := range spans {
		out = append(append(out, b[end:m[0]]...), Redacted...)
		end = m[1]
	}
	out = append(out, b[end:]...)
	return out, func(i int) int {
		shift := 0
		for _, m := range spans {
			if i <= m[0] {
				break
			}
			i = max(i, m[1]) // an offset inside a secret goes behind it
			shift += len(Redacted) - (m[1] - m[0])
		}
		return i + shift
	}
}

func (r *redactor) text(s string) string {
	b, _ := r.bytes([]byte(s))
	return string(b)
}

var userinfo = regexp.MustCompile(`^([a-zA-Z]+://)[^/@?#]*@`)

func (r *redactor) url(s string) string {
	s = userinfo.ReplaceAllString(s, "${1}"+Redacted+"@")
	return r.text(credentialQuery.ReplaceAllString(s, "${1}"+Redacted))
}

func (r *redactor) header(h http.Header) http.Header {
	if h == nil {
		return nil
	}
	c := make(http.Header, len(h))
	for name, values := range h {
		safe := make([]string, len(values))
		for i, v := range values {
			safe[i] = r.value(name, v)
		}
		c[r.text(name)] = safe
	}
	return c
}

// value is the value of a header without its secrets.
func (r *redactor) value(name, v string) string {
	if !credentials.MatchString(name) {
		return r.text(v)
	}
	if strings.TrimSpace(v) == "" {
		return v
	}
	return scheme.FindString(v) + Redacted
}

// head treats raw header lines as header does, keeping their line ends.
func (r *redactor) head(b []byte) []byte {
	if b == nil {
		return nil
	}
	var out []byte
	secret := false // whether the header that a line continues is one
	for _, line := range bytes.SplitAfter(b, []byte("\n")) {
		text := bytes.TrimRight(line, "\r\n")
		end := line[len(text):]
		name, v, ok := bytes.Cut(text, []byte(":"))
		switch {
		case len(text) > 0 && (text[0] == ' ' || text[0] == '\t'):
			if secret {
				text = []byte(" " + Redacted)
			} else {
				text = []byte(r.text(string(text)))
			}
		case ok && credentials.Match(bytes.TrimSpace(name)):
			secret = true
			trimmed := bytes.TrimLeft(v, " \t")
			space := v[:len(v)-len(trimmed)]
			text = slices.Concat(name, []byte(":"), space, []byte(r.value("Authorization", string(trimmed))))
		default:
			secret = false
			text = []byte(r.text(string(text)))
		}
		out = append(append(out, text...), end...)
	}
	return out
}
