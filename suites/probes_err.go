package suites

import "strings"

// errProbes are about errors (ERR); most of their evidence comes from others.
var errProbes = []probe{
	{name: "again", hostile: true, asks: func(f *Facts) []ask {
		var out []ask
		for _, n := range []string{"1", "2"} {
			out = append(out, set("top_p", "7").called(n).ask(f))
		}
		return out
	}},
	{name: "embeddings", dialects: []string{DialectAzureInference}, asks: func(f *Facts) []ask {
		_, query, _ := strings.Cut(f.target.path(f.Route), "?")
		return []ask{{wire: wire{path: "/embeddings?" + query, raw: []byte(`{"input":["hi"]}`)}}}
	}},
}
