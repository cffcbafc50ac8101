package load

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// ReadPart reads what a run, or a shard of one, has left in a folder. Where
// it died before it wrote load.json, the windows are those of its records.
func ReadPart(dir string) (*Header, *Part, error) {
	h, records, err := ReadRecordsFile(filepath.Join(dir, RecordsFile))
	if err != nil {
		return nil, nil, err
	}
	p := &Part{Records: records}
	r, err := ReadResult(filepath.Join(dir, ResultFile))
	switch {
	case err == nil:
		h.Config = r.Config
		p.Interrupted = r.Interrupted
		for _, s := range r.Stages {
			if len(s.Windows) != 1 {
				return nil, nil, fmt.Errorf("%s: is merged already; merge the parts", dir)
			}
			p.Windows = append(p.Windows, s.Windows[0])
		}
		if len(r.Client) > 0 {
			p.Client = r.Client[0]
		}
	case os.IsNotExist(err):
		p.Interrupted = true
		p.Windows = windowsOf(records)
		if h.Config == nil {
			h.Config = &Config{}
		}
		for len(h.Config.Stages) < len(p.Windows) {
			h.Config.Stages = append(h.Config.Stages, StageConfig{Name: fmt.Sprint(len(h.Config.Stages) + 1)})
		}
	default:
		return nil, nil, err
	}
	return h, p, nil
}

// windowsOf are the windows as far as records tell them.
func windowsOf(records []*Record) []Window {
	var ws []Window
	for _, r := range records {
		for len(ws) <= r.Stage {
			ws = append(ws, Window{})
		}
		w := &ws[r.Stage]
		due := r.Begun
		if r.Intended > 0 {
			due = min(due, r.Intended)
		}
		if w.Begin == 0 || due < w.Begin {
			w.Begin = due
		}
		if !r.Warmup && (w.WarmupEnd == 0 || due < w.WarmupEnd) {
			w.WarmupEnd = due
		}
		w.LastSend, w.End = max(w.LastSend, r.Begun), max(w.End, r.End)
	}
	return ws
}

// Merged is a run put together from its shards.
type Merged struct {
	Header  *Header
	Result  *Result
	Records []*Record
}

// Merge computes the result of a run from the folders of its shards, exactly
// as if one machine had measured all of it. The shards' clocks are put side
// by side by the times at which they began.
func Merge(dirs []string, slo *SLO) (*Merged, error) {
	var header *Header
	var parts []Part
	seen := map[string]string{}
	for _, dir := range dirs {
		h, p, err := ReadPart(dir)
		if err != nil {
			return nil, err
		}
		if other, twice := seen[h.Shard]; twice {
			return nil, fmt.Errorf("%s and %s are both shard %s", other, dir, or(h.Shard, "0/1"))
		}
		seen[h.Shard] = dir
		if header == nil {
			header = h
		} else {
			if why := differs(header, h); why != "" {
				return nil, fmt.Errorf("%s and %s are not shards of one run: %s differs", dirs[0], dir, why)
			}
			if h.Began.Before(header.Began) {
				by := int64(header.Began.Sub(h.Began))
				for i := range parts {
					parts[i].shift(by)
				}
				header.Began = h.Began
			}
			p.shift(int64(h.Began.Sub(header.Began)))
		}
		parts = append(parts, *p)
	}
	if header == nil {
		return nil, fmt.Errorf("nothing to merge")
	}
	r := Assemble(header, parts, slo)
	if n := expected(header); n > len(parts) {
		r.Findings = append(r.Findings, fmt.Sprintf("%d of %d shards are here; the figures are those of the part", len(parts), n))
	}
	var all []*Record
	for _, p := range parts {
		all = append(all, p.Records...)
	}
	header.Shard = ""
	return &Merged{header, r, all}, nil
}

func (p *Part) shift(by int64) {
	for _, r := range p.Records {
		r.shift(by)
	}
	for i := range p.Windows {
		p.Windows[i] = p.Windows[i].shift(by)
	}
}

// expected is how many shards the run of h has.
func expected(h *Header) int {
	var i, n int
	if _, err := fmt.Sscanf(h.Shard, "%d/%d", &i, &n); err != nil {
		return 1
	}
	return n
}

// differs names what two shards do not have in common and should.
func differs(a, b *Header) string {
	if expected(a) != expected(b) {
		return "the number of shards"
	}
	x, y := *a.Config, *b.Config
	x.URL, y.URL, x.Features, y.Features = "", "", Features{}, Features{}
	for _, c := range []struct {
		name string
		a, b any
	}{{"the seed", x.Seed, y.Seed}, {"the schedule", x.Stages, y.Stages}, {"the work", x.Work, y.Work}, {"the model", x.Model, y.Model}} {
		p, _ := json.Marshal(c.a)
		q, _ := json.Marshal(c.b)
		if !slices.Equal(p, q) {
			return c.name
		}
	}
	return ""
}
