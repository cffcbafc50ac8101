package simulator

import (
	"context"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// TestPage uses the live page in a headless Chromium, if there is one: the state
// is shown, a prompt streams, a fault is switched on and off, requests appear.
func TestPage(t *testing.T) {
	var browser string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			browser = path
			break
		}
	}
	if browser == "" {
		t.Skip("no Chromium is installed")
	}
	s, h := operated(t, Options{Generator: Random(4096), Quota: DefaultQuota})
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	ctx, stop := chromedp.NewExecAllocator(ctx, append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(browser), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true))...)
	defer stop()
	ctx, quit := chromedp.NewContext(ctx)
	defer quit()
	do := func(steps ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		if err := chromedp.Do(ctx, steps...); err != nil {
			t.Fatal(err)
		}
	}
	text := func(a chromedp.Action[string]) string {
		t.Helper()
		x, err := chromedp.Run(ctx, a)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	until := chromedp.Poll[chromedp.Void]
	script := chromedp.Evaluate[chromedp.Void]
	do(chromedp.Navigate(h.URL + "/_touchstone/"))
	shown := text(chromedp.Poll[string](`document.querySelector("section.deployment")?.innerText`))
	do(script(`{ document.getElementById("key").value = "` + testKey + `"; document.getElementById("max").value = 12; document.getElementById("send").click(); }`))
	took := text(chromedp.Poll[string](`document.getElementById("took").textContent`))
	answer := text(chromedp.Poll[string](`document.getElementById("answer").textContent`))
	row := text(chromedp.Poll[string](`document.querySelector("#requests tr")?.innerText`))
	do(
		script(`{ const s = document.querySelector("select[data-what=faults]"); s.value = "unavailable"; s.dispatchEvent(new Event("change")); }`),
		until(`document.querySelector("section.deployment button.on")`),
		script(`document.getElementById("send").click()`),
		until(`document.getElementById("answer").textContent.startsWith("503")`),
		script(`document.querySelector("section.deployment button.on").click()`),
		until(`!document.querySelector("section.deployment button.on")`),
		script(`document.getElementById("send").click()`),
		until(`document.querySelectorAll("#requests .s2").length == 2`),
		script(`{ const s = document.querySelector("input[data-what=defects]"); s.value = "don-missing"; s.dispatchEvent(new Event("change")); }`),
		until(`document.getElementById("wrong").textContent.includes("did you mean done-missing")`),
		script(`{ const s = document.querySelector("input[data-what=defects]"); s.value = "done-missing:0.5, id-per-chunk@chunk=1"; s.dispatchEvent(new Event("change")); }`),
		until(`document.querySelectorAll("section.deployment button.on").length == 2 && document.getElementById("wrong").textContent == ""`),
	)
	if got := s.State().Endpoints[0].Deployments[0].Defects; !slices.Equal(got, []string{"done-missing:0.5", "id-per-chunk@chunk=1"}) {
		t.Errorf("the page switched on %q", got)
	}
	if !strings.Contains(shown, "random") || !strings.Contains(shown, "400,000 a minute") {
		t.Errorf("the deployment reads %q", shown)
	}
	if len(strings.Fields(answer)) != 12 || !strings.Contains(took, "length") {
		t.Errorf("the answer reads %q, %q", answer, took)
	}
	if !strings.Contains(row, "POST /v1/completions") || !strings.Contains(row, "200") {
		t.Errorf("the request reads %q", row)
	}
	if n := len(s.State().Endpoints[0].Deployments[0].Faults); n != 0 {
		t.Errorf("%d faults are left", n)
	}
}

// TestPageIsAlone: the page needs nothing from elsewhere, and cannot be made to
// load it.
func TestPageIsAlone(t *testing.T) {
	_, h := operated(t, Options{})
	r := do(t, h, "GET", "/_touchstone/", "", nil)
	if r.status != 200 || !strings.Contains(r.header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("%d %v", r.status, r.header)
	}
	for _, outside := range []string{"http://", "https://", "src=", "@import"} {
		if strings.Contains(r.body, outside) {
			t.Errorf("the page has %s", outside)
		}
	}
}
