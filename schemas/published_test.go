package schemas

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"testing"

	. "github.com/onsi/gomega"
)

var publish = flag.String("publish", "", "write the register as a published version, such as 2026-11; never for one that has been released")

func TestPublished(t *testing.T) {
	g := NewWithT(t)
	if *publish != "" {
		levels := map[string]map[Profile]Level{}
		for _, c := range MustRegister() {
			if c.Excluded == "" {
				levels[c.ID] = c.Levels
			}
		}
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetIndent("", " ")
		g.Expect(e.Encode(levels)).To(Succeed())
		g.Expect(os.WriteFile("published/"+*publish+".json", b.Bytes(), 0o644)).To(Succeed())
		return
	}
	g.Expect(PublishedVersions()).To(ContainElement("2026-11"))
	for _, v := range PublishedVersions() {
		cs, err := Published(v)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(len(cs)).To(BeNumerically(">", 200))
		for _, c := range cs {
			g.Expect(c.check()).To(Succeed(), c.ID)
		}
	}
	now, err := Published("")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(now).To(Equal(MustRegister()))
	_, err = Published("1999-01")
	g.Expect(err).To(MatchError(ContainSubstring("published are 2026-11")))
}
