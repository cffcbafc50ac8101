package suites

import (
	"fmt"
	"net/http"
	"strings"
)

// wrongKey is a key that no endpoint has.
const wrongKey = "touchstone-sends-a-wrong-key-0000"

// bearer is the header with a credential; "" sends none.
func bearer(value string) http.Header {
	return http.Header{"Authorization": {value}, "Api-Key": nil}
}

func needKey(f *Facts) string {
	if f.target.Key == "" {
		return "no key was given, so nothing can be said about keys"
	}
	return ""
}

// withQuery adds to the query of a path.
func withQuery(path, query string) string {
	if strings.Contains(path, "?") {
		return path + "&" + query
	}
	return path + "?" + query
}

// autProbes are about keys (AUT).
var autProbes = []probe{
	{name: "auth", free: true, needs: needKey, asks: func(f *Facts) []ask {
		key := f.target.Key
		one := func(label, credential string) ask {
			return ask{label: label, wire: wire{raw: rawBody(f, shortPrompt), header: bearer(credential)}}
		}
		stream := one("stream", "")
		stream.wire.raw = rawBody(f, shortPrompt, "stream", "true")
		return []ask{one("none", ""), one("wrong", "Bearer "+wrongKey), one("right", "Bearer "+key), stream}
	}},
	{name: "auth.forms", free: true, needs: needKey, asks: func(f *Facts) []ask {
		key := f.target.Key
		one := func(label, credential string) ask {
			return ask{label: label, wire: wire{raw: rawBody(f, shortPrompt), header: bearer(credential)}}
		}
		broken := one("broken", "Bearer "+wrongKey)
		broken.wire.raw = []byte(`{"prompt":`)
		query := one("query", "")
		query.wire.path = withQuery(f.target.path(f.Route), "api-key="+key+"&key="+key)
		return []ask{
			one("bare", key), one("lower", "bearer "+key), one("basic", "Basic "+key), one("empty", "Bearer "),
			one("more", "Bearer "+key+" and-more"), one("longer", "Bearer "+key+"x"), broken, query,
		}
	}},
	{name: "auth.families", free: true, needs: needKey, asks: func(f *Facts) []ask {
		var out []ask
		for _, path := range []string{"/completions", "/chat/completions", "/v1/completions", "/v1/chat/completions"} {
			b := `{"prompt":"hi","max_tokens":1}`
			if strings.Contains(path, "chat") {
				b = `{"messages":[{"role":"user","content":"hi"}],"max_tokens":1}`
			}
			label := path
			if !strings.HasPrefix(path, "/v1") {
				path += "?api-version=" + apiVersion
			}
			out = append(out, ask{label: label, wire: wire{path: path, raw: []byte(b), header: bearer("")}})
		}
		return out
	}},
	{name: "auth.azure", needs: needKey, dialects: []string{DialectAzureInference}, asks: func(f *Facts) []ask {
		key := f.target.Key
		with := func(label, authorization, apiKey string) ask {
			return ask{label: label, wire: wire{raw: rawBody(f, shortPrompt), header: http.Header{"Authorization": {authorization}, "Api-Key": {apiKey}}}}
		}
		get := func(label, path string) ask {
			return ask{label: label, wire: wire{method: http.MethodGet, path: path, raw: []byte{}, header: bearer("")}}
		}
		return []ask{with("api-key", "", key), with("both", "Bearer "+key, key), get("info", "/info?api-version="+apiVersion), get("openapi", "/swagger.json")}
	}},
	{name: "auth.keys", asks: func(f *Facts) []ask {
		var out []ask
		for label, key := range map[string]string{"second": f.target.SecondKey, "foreign": f.target.ForeignKey} {
			if key != "" {
				out = append(out, ask{label: label, wire: wire{raw: rawBody(f, shortPrompt), header: bearer("Bearer " + key)}})
			}
		}
		return out
	}},
	{name: "auth.time", needs: needKey, once: true, last: true, asks: func(f *Facts) []ask {
		key := f.target.Key
		near := key[:len(key)-1] + string(rune('0'+(key[len(key)-1]+1)%10))
		far := strings.Map(func(r rune) rune { return '0' + (r+1)%10 }, key)
		var out []ask
		for i := range 2 * timed {
			out = append(out, ask{label: fmt.Sprintf("%s %d", [...]string{"near", "far"}[i%2], i/2), wire: wire{raw: rawBody(f, shortPrompt), header: bearer("Bearer " + [...]string{near, far}[i%2])}})
		}
		return out
	}},
}

// timed is how many keys of each kind are timed (AUT-020): that all of one kind
// take longer than all of the other by chance has probability 1 in C(14,7),
// below errorRate.
const timed = 7
