package suites

import (
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/touchstone-llm/touchstone/schemas"
)

// visRules judge images (VIS), beside those of visNegatives.
var visRules = append(negativeRules(visNegatives), []rule{
	{clause: "VIS-002", reads: []string{"image"}, judge: imageOfText},
	{clause: "VIS-004", reads: []string{"image.urls"}, judge: neverFetched},
	{clause: "VIS-007", reads: []string{"image"}, judge: func(c *Case) {
		r := c.labelled("image", "two")
		switch {
		case r == nil:
		case r.ok():
			c.note("two images are accepted")
		case !r.isRefusal() || !r.names("image", "images", "image_url", "Image", "Images"):
			c.fail(r, "status", "200, or 400 or 422 that speaks of images", r.statusLine())
		default:
			c.note("refused: %s", shorten(r.message(), 100))
		}
	}},
	{clause: "VIS-010", reads: []string{"image.urls"}, judge: func(c *Case) {
		for _, r := range c.replies {
			if r.probe == "image.urls" && r.label == "http" && r.timedOut() {
				c.look(r)
				c.fail(r, "time", "a refusal: there is no image at "+deadURL, r.Error)
				return
			}
		}
		if r := c.labelled("image.urls", "http"); r != nil {
			c.wantRefusal(r, "there is no image at "+deadURL)
		}
	}},
}...)

// imageOfText expects a model that reads text only to refuse an image. That it
// was ignored shows where nothing differs from the answer to the text alone.
func imageOfText(c *Case) {
	if c.Facts.target.claims("vision") {
		c.settle("skip", "the owner says that the model sees images")
		return
	}
	r, text := c.labelled("image", "one"), first(c.answers("control"))
	if r == nil || text == nil {
		return
	}
	if !r.ok() {
		c.wantRefusal(r, "the model reads text only")
		if c.Profile == schemas.Strict && c.dialect() == DialectAzureInference && r.status() == http.StatusBadRequest {
			c.fail(r, "status", "422: the model reads text only (C36)", r.statusLine())
		}
		return
	}
	with, without := r.doc.Get("usage.prompt_tokens"), text.doc.Get("usage.prompt_tokens")
	switch {
	case with.Int() > without.Int()+partsCost:
		c.note("the model sees: an image costs %d tokens", with.Int()-without.Int())
	case c.Facts.Repeatable && r.firstText() == text.firstText():
		c.fail(r, "choices[0].message.content", "a refusal (400 or 422), or an answer on which the image has some effect", "the text and the "+with.Raw+" prompt tokens of "+text.ID+", which has no image")
	default:
		c.inconclusive("the image was accepted, and whether it was seen does not show: %s prompt tokens with it, %s without", with.Raw, without.Raw)
	}
}

// partsCost is how many tokens a template may spend on parts that are not seen.
const partsCost = 8

// neverFetched expects that URLs of other schemes are refused, and that nobody
// came to the address of the harness itself.
func neverFetched(c *Case) {
	for _, u := range badSchemes {
		scheme, _, _ := strings.Cut(u, ":")
		if r := c.labelled("image.urls", scheme); r != nil {
			c.wantRefusal(r, "an image is at http, https or data, not "+scheme)
		}
	}
	for _, r := range c.replies {
		if r.probe == "image.urls" && r.label == fetched {
			c.look(r)
			c.fail(r, "connection", "none: the address of an image is one of the server's own network", r.Request.Method+" "+r.Request.URL)
			return
		}
	}
	r := c.labelled("image.urls", nearby)
	switch {
	case r == nil:
	case !r.ok() && !r.refused():
		c.fail(r, "status", "a refusal", r.statusLine())
	case isNear(c.Facts.target.BaseURL):
		c.note("nothing was fetched from 127.0.0.1")
	case r.ok():
		c.inconclusive("an image at 127.0.0.1 was accepted, and whether it was fetched cannot be seen from here")
	default:
		c.note("an image at 127.0.0.1 is refused; whether it was asked for first cannot be seen from here")
	}
}

// isNear is whether a URL is of this machine, so that what the server behind it
// asks of 127.0.0.1 comes here.
func isNear(base string) bool {
	u, err := url.Parse(base)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}
