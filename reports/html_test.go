package reports

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"
)

func drawHTML(t *testing.T, r *Result) string {
	t.Helper()
	var b bytes.Buffer
	if err := WriteHTML(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// The script and the style sheet must reach the page byte for byte, or the
// policy would keep the browser from using them.
func TestPolicyNamesTheScriptAndTheStyle(t *testing.T) {
	page := drawHTML(t, sample())
	script := page[strings.LastIndex(page, "<script>")+len("<script>") : strings.LastIndex(page, "</script>")]
	_, style, _ := strings.Cut(page, "<style>")
	style, _, _ = strings.Cut(style, "</style>")
	policy := regexp.MustCompile(`Content-Security-Policy" content="([^"]*)"`).FindStringSubmatch(page)[1]
	policy = strings.NewReplacer("&#39;", "'", "&#43;", "+").Replace(policy)
	for kind, text := range map[string]string{"script-src": script, "style-src": style} {
		if want := kind + " 'sha256-" + digest(text) + "'"; !strings.Contains(policy, want) {
			t.Errorf("policy %q does not hold %q", policy, want)
		}
	}
	if strings.Contains(pageJS, "</") || strings.Contains(pageCSS, "</") {
		t.Error("the script or the style sheet could close its own element")
	}
}

func TestPageFetchesNothing(t *testing.T) {
	page := drawHTML(t, &Result{}) // of a run without words of its own
	for _, link := range regexp.MustCompile(`(?i)(src|href|url|action|@import|import|fetch)\s*[=(]\s*["']?([^"'\s>)]*)`).FindAllStringSubmatch(page, -1) {
		if !strings.HasPrefix(link[2], "data:") && !strings.HasPrefix(link[2], "#") {
			t.Errorf("the page asks for %q", link[0])
		}
	}
}

func TestPageOfHostileText(t *testing.T) {
	page := drawHTML(t, hostile())
	for _, bad := range []string{"<script>alert", "<img", "\x00", "\x1b", "\a", "\u202e", "\u2066", "\u2028", "<!--"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page holds %q as it came", bad)
		}
	}
	if n := strings.Count(page, "<script"); n != 2 { // one exchange, one script
		t.Errorf("%d scripts, want 2", n)
	}
}

func TestPageHoldsEachExchangeOnce(t *testing.T) {
	r := sample()
	long := "{\"start\": \"" + strings.Repeat("é", pageBodyHead) + "the end\"}"
	x := r.Exchanges["x1"]
	x.ResponseBody = long
	r.Exchanges["x1"] = x
	page := drawHTML(t, r)

	stored := regexp.MustCompile(`(?s)<script type="application/json" data-exchange="(\d+)">(.*?)</script>`).FindAllStringSubmatch(page, -1)
	if len(stored) != len(r.Exchanges) {
		t.Fatalf("%d exchanges on the page, want %d", len(stored), len(r.Exchanges))
	}
	for i, id := range []string{"x1", "x2", "x10", "x11"} {
		var got pageExchange
		if err := json.Unmarshal([]byte(stored[i][2]), &got); err != nil {
			t.Fatal(err)
		}
		if got.ID != id {
			t.Errorf("exchange %d is %s, want %s", i, got.ID, id)
		}
		body := got.Response
		if id != "x1" {
			if want := r.Exchanges[id].ResponseBody; body.Head != want {
				t.Errorf("%s: body %q, want %q", id, body.Head, want)
			}
			continue
		}
		if len(body.Head)+body.Left+len(body.Tail) != len(long) || !strings.HasPrefix(long, body.Head) || !strings.HasSuffix(long, body.Tail) || body.Left == 0 {
			t.Errorf("the long body stands as %d + %d left + %d of %d bytes", len(body.Head), body.Left, len(body.Tail), len(long))
		}
	}
}

func TestPageShowsProofWithoutScript(t *testing.T) {
	page := drawHTML(t, sample())
	for _, want := range []string{
		`<details class="clause fail" id="STR-009"`,
		"null, since event 7 is a later chunk of index 0",
		"curl -sN https://llama.example.com/v1/completions",
		"two chunks of index 0 carry a finish_reason",
		`<h1>Not conformant</h1>`,
		"none of 8 prompts ended within 256 tokens",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q on the page", want)
		}
	}
}

func TestPageOfTheWholeRegisterIsFast(t *testing.T) {
	r := large()
	start := time.Now()
	page := drawHTML(t, r)
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("took %v", took)
	}
	if limit := 16 << 20; len(page) > limit {
		t.Errorf("%d bytes, want at most %d", len(page), limit)
	}
}
