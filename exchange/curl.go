package exchange

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxArgument is the length from which a body is piped: Linux refuses single
// arguments of 128 KiB.
const maxArgument = 100_000

// Curl is a line for a POSIX shell that sends the request again and shows the
// answer with its header. The key is read from the environment variable
// keyEnv; cookies are left out.
func (x *Exchange) Curl(keyEnv string) string {
	r := x.Request
	url := r.URL
	if url == "" {
		url = r.Path
	}
	args := []string{"curl", "-sS", "-i"}
	if x.streams() {
		args = append(args, "-N")
	}
	if strings.ContainsAny(url, "[]{}") {
		args = append(args, "-g")
	}
	if r.Method != "" {
		args = append(args, "-X", quote(r.Method))
	}
	args = append(args, quote(url))

	names := make([]string, 0, len(r.Header))
	typed := false
	for name := range r.Header {
		names = append(names, name)
		typed = typed || strings.EqualFold(name, "Content-Type")
	}
	slices.Sort(names)
	for _, name := range names {
		for _, v := range r.Header[name] {
			switch {
			case strings.EqualFold(name, "Cookie"):
			case credentials.MatchString(name) && keyEnv != "":
				args = append(args, "-H", fmt.Sprintf(`"%s: %s$%s"`, name, scheme.FindString(v), keyEnv))
			case v == "":
				args = append(args, "-H", quote(name+";"))
			default:
				args = append(args, "-H", quote(name+": "+v))
			}
		}
	}
	if len(r.Body) == 0 {
		return strings.Join(args, " ")
	}
	if !typed {
		args = append(args, "-H", "'Content-Type:'") // else curl adds its own
	}
	body := string(r.Body)
	switch {
	case !utf8.ValidString(body) || strings.ContainsRune(body, 0):
		var octal strings.Builder
		for _, c := range r.Body {
			if c < ' ' || c > '~' || strings.ContainsRune(`'"\%`, rune(c)) {
				fmt.Fprintf(&octal, `\0%03o`, c)
			} else {
				octal.WriteByte(c)
			}
		}
		return "printf '%b' '" + octal.String() + "' | " + strings.Join(args, " ") + " --data-binary @-"
	case len(body) > maxArgument || body[0] == '@':
		return "printf '%s' " + quote(body) + " | " + strings.Join(args, " ") + " --data-binary @-"
	}
	return strings.Join(args, " ") + " --data-binary " + quote(body)
}

// streams is whether the request asks for a stream or got one.
func (x *Exchange) streams() bool {
	var body struct{ Stream any }
	if json.Unmarshal(x.Request.Body, &body) == nil && body.Stream != nil && body.Stream != false {
		return true
	}
	return x.Response != nil && strings.HasPrefix(x.Response.Header.Get("Content-Type"), "text/event-stream")
}

// quote makes s one word for a POSIX shell.
func quote(s string) string {
	if s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:=@,+", r))
	}) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
