package suites

import "strings"

// tinyPNG is an image of one pixel.
const tinyPNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

// image is a part that shows what is at a URL; more are members beside it.
func image(url, more string) string {
	return `{"type":"image_url","image_url":{"url":` + quoted(url) + more + `}}`
}

const pngURL = "data:image/png;base64," + tinyPNG

// withParts is a conversation of one message: a text, and parts behind it.
func withParts(text string, parts ...string) string {
	list := append([]string{`{"type":"text","text":` + quoted(text) + `}`}, parts...)
	return `[{"role":"user","content":[` + strings.Join(list, ",") + `]}]`
}

// withPart is the edit that adds a part to the one message.
func withPart(label, raw string) edit {
	return set("messages", withParts(shortPrompt, raw)).called("part " + label)
}

// visNegatives are the parts that must be refused (VIS), by any model.
var visNegatives = []negative{
	{clause: "VIS-003", probe: "bad.messages", why: "the data URL holds no image", cases: []edit{
		withPart("broken base64", image("data:image/png;base64,@@@@", "")),
		withPart("empty data", image("data:image/png;base64,", "")),
		withPart("no image", image("data:image/png;base64,aGVsbG8gd29ybGQ=", "")),
	}},
	{clause: "VIS-005", probe: "bad.messages", why: "an image has a URL, which is a string", cases: []edit{
		withPart("image without url", `{"type":"image_url","image_url":{}}`),
		withPart("image with url 5", `{"type":"image_url","image_url":{"url":5}}`),
	}},
	{clause: "VIS-006", probe: "bad.messages", why: "detail is auto, low or high", cases: []edit{withPart("detail foo", image(pngURL, `,"detail":"foo"`))}},
	{clause: "VIS-009", probe: "bad.messages", why: "a part is of a known type, and a text part has text", cases: []edit{
		withPart("type foo", `{"type":"foo","foo":"hi"}`),
		withPart("text without text", `{"type":"text"}`),
	}},
}

// badSchemes are URLs that no server may follow.
var badSchemes = []string{"file:///etc/hostname", "javascript:alert(1)"}

// deadURL is at a name that never resolves (RFC 2606).
const deadURL = "http://touchstone.invalid/none.png"

// visProbes are about images (VIS).
var visProbes = []probe{
	{name: "image", dialects: notLlama, routes: chatOnly, asks: func(f *Facts) []ask {
		one := func(label string, parts ...string) ask {
			return ask{label: label, wire: wire{raw: rawBody(f, "", "messages", withParts(plainPrompt(f.Route), parts...), "max_tokens", "16", "temperature", "0")}}
		}
		out := []ask{one("one", image(pngURL, ""))}
		if f.target.dialect() == DialectAzureInference {
			out = append(out, one("two", image(pngURL, ""), image(pngURL, "")))
		}
		return out
	}},
	{name: "image.urls", dialects: notLlama, routes: chatOnly, asks: func(f *Facts) []ask {
		var out []ask
		for _, url := range append(badSchemes, deadURL) {
			scheme, _, _ := strings.Cut(url, ":")
			out = append(out, withPart(scheme, image(url, "")).called(scheme).ask(f))
		}
		hidden := withPart("", image("http://"+canaryHost+"/canary.png", "")).called(nearby).ask(f)
		hidden.canary = true
		return append(out, hidden)
	}},
}

// nearby is the label of the request whose image is on the harness's own
// loopback address, and fetched that of what the target asked for there.
const nearby, fetched = "nearby", "fetched"
