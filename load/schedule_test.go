package load

import (
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func plan(t *testing.T, seed uint64, shard Shard, stages ...Stage) *Plan {
	t.Helper()
	p, err := NewPlan(stages, seed, shard)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func gaps(slots []Slot) []float64 {
	var g []float64
	last := time.Duration(0)
	for _, s := range slots {
		g = append(g, (s.At - last).Seconds())
		last = s.At
	}
	return g
}

func TestConstantIsConstant(t *testing.T) {
	p := plan(t, 1, Shard{}, Stage{Rate: 1000, Duration: time.Minute})
	slots := p.Stages[0].Slots
	if len(slots) != 60000 {
		t.Fatalf("%d requests in 60 s at 1000/s", len(slots))
	}
	for k, s := range slots {
		if want := time.Duration(k) * time.Millisecond; (s.At - want).Abs() > 1 {
			t.Fatalf("request %d at %v, want %v", k, s.At, want)
		}
	}
}

// The gaps of a Poisson process are exponential: Kolmogorov and Smirnov find
// no difference at the level of 1 %, and find one where there is one.
func TestPoissonPassesKS(t *testing.T) {
	const rate = 200.0
	cdf := func(x float64) float64 { return 1 - math.Exp(-rate*x) }
	for seed := range uint64(5) {
		p := plan(t, seed, Shard{}, Stage{Rate: rate, Arrival: Poisson, Duration: time.Minute})
		if d, limit := ks(gaps(p.Stages[0].Slots), cdf); d > limit {
			t.Errorf("seed %d: D = %.4f, above %.4f", seed, d, limit)
		}
	}
	p := plan(t, 1, Shard{}, Stage{Rate: rate, Arrival: Arrival{1.2}, Duration: time.Minute})
	if d, limit := ks(gaps(p.Stages[0].Slots), cdf); d <= limit {
		t.Errorf("gamma:1.2 passes as Poisson: D = %.4f, limit %.4f", d, limit)
	}
}

// ks is the statistic of Kolmogorov and Smirnov, and its limit at 1 %.
func ks(x []float64, cdf func(float64) float64) (d, limit float64) {
	slices.Sort(x)
	n := float64(len(x))
	for i, v := range x {
		f := cdf(v)
		d = max(d, f-float64(i)/n, float64(i+1)/n-f)
	}
	return d, 1.628 / math.Sqrt(n)
}

func TestGammaHasItsVariation(t *testing.T) {
	for _, cv := range []float64{0.3, 1, 2, 4} {
		p := plan(t, 7, Shard{}, Stage{Rate: 500, Arrival: Arrival{cv}, Duration: 200 * time.Second})
		g := gaps(p.Stages[0].Slots)
		var sum, sq float64
		for _, v := range g {
			sum += v
			sq += v * v
		}
		mean := sum / float64(len(g))
		got := math.Sqrt(sq/float64(len(g))-mean*mean) / mean
		if math.Abs(got-cv)/cv > 0.1 || math.Abs(mean*500-1) > 0.05 {
			t.Errorf("gamma:%g: mean gap %.5f s, variation %.3f", cv, mean, got)
		}
	}
}

func TestRampFollowsItsLine(t *testing.T) {
	for _, s := range []Stage{
		{Rate: 0, EndRate: 100, Duration: 100 * time.Second},
		{Rate: 100, EndRate: 20, Duration: 100 * time.Second},
		{Rate: 100, EndRate: 0.001, Arrival: Poisson, Duration: 100 * time.Second},
	} {
		slots := plan(t, 3, Shard{}, s).Stages[0].Slots
		half := slices.IndexFunc(slots, func(x Slot) bool { return x.At >= 50*time.Second })
		wantHalf := 50 * (s.Rate + (s.Rate+s.EndRate)/2) / 2
		wantAll := 100 * (s.Rate + s.EndRate) / 2
		slack := 1.5
		if s.Arrival.CV > 0 {
			slack = 4 * math.Sqrt(wantAll)
		}
		if math.Abs(float64(half)-wantHalf) > slack || math.Abs(float64(len(slots))-wantAll) > slack {
			t.Errorf("%g to %g: %d by half time, want %.0f; %d in all, want %.0f", s.Rate, s.EndRate, half, wantHalf, len(slots), wantAll)
		}
	}
}

func TestShardsShareOneSchedule(t *testing.T) {
	stages := []Stage{
		{Rate: 50, Arrival: Poisson, Duration: 10 * time.Second},
		{Concurrency: 7, Requests: 23},
		{Rate: 10, Arrival: Arrival{3}, Duration: 10 * time.Second},
	}
	whole := plan(t, 9, Shard{}, stages...)
	if again := plan(t, 9, Shard{0, 1}, stages...); !reflect.DeepEqual(again.Stages, whole.Stages) {
		t.Error("the same seed gives another schedule")
	}
	if other := plan(t, 10, Shard{}, stages...); reflect.DeepEqual(other.Stages[0].Slots, whole.Stages[0].Slots) {
		t.Error("another seed gives the same schedule")
	}
	for k := range stages {
		var slots []Slot
		var users []int
		requests := 0
		for i := range 3 {
			s := plan(t, 9, Shard{i, 3}, stages...).Stages[k]
			slots, users = append(slots, s.Slots...), append(users, s.Users...)
			for _, u := range s.Users {
				requests += s.share(u)
			}
		}
		slices.SortFunc(slots, func(a, b Slot) int { return a.Index - b.Index })
		slices.Sort(users)
		if !slices.Equal(slots, whole.Stages[k].Slots) || !slices.Equal(users, whole.Stages[k].Users) {
			t.Errorf("stage %d: three shards are not the whole", k)
		}
		if stages[k].Requests > 0 && requests != stages[k].Requests {
			t.Errorf("stage %d: the shards send %d requests, want %d", k, requests, stages[k].Requests)
		}
	}
}

func TestPlanSaysWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		s    Stage
		says string
	}{
		{Stage{}, "give a rate"},
		{Stage{Rate: 1}, "give a duration"},
		{Stage{Rate: -1, Duration: 1}, "negative"},
		{Stage{Concurrency: 3}, "duration or a number"},
		{Stage{Concurrency: 3, Rate: 1, Duration: 1}, "give one"},
		{Stage{Rate: 1e9, Duration: time.Hour}, "more than"},
		{Stage{Rate: 1, Duration: time.Second, Warmup: time.Second}, "warm-up"},
	} {
		if _, err := NewPlan([]Stage{c.s}, 1, Shard{}); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: %v, want %q", c.s, err, c.says)
		}
	}
}

func TestParsers(t *testing.T) {
	for _, c := range []struct{ in, out string }{
		{"constant", "constant"}, {"poisson", "poisson"}, {"gamma:2.5", "gamma:2.5"}, {"gamma", ""}, {"gamma:0", ""}, {"pareto", ""},
	} {
		a, err := ParseArrival(c.in)
		if c.out == "" != (err != nil) || err == nil && a.String() != c.out {
			t.Errorf("arrival %s: %v, %v", c.in, a, err)
		}
	}
	for _, c := range []struct{ in, out string }{
		{"128", "128"}, {"0.5", "0.5"}, {"64-256", "64-256"}, {"normal:128,32", "normal:128,32"}, {"normal:128,32,1,512", "normal:128,32,1,512"},
		{"lognormal:64,0.5", "lognormal:64,0.5"}, {"exp:2", "exp:2"}, {"exp:2,1,9", "exp:2,1,9"},
		{"", ""}, {"-3", ""}, {"9-3", ""}, {"normal:1", ""}, {"zipf:2", ""}, {"NaN", ""}, {"exp:2,9,1", ""}, {"uniform:1,2,3,4", ""},
	} {
		d, err := ParseDist(c.in)
		if c.out == "" != (err != nil) || err == nil && d.String() != c.out {
			t.Errorf("dist %q: %v, %v", c.in, d, err)
		}
	}
	for _, c := range []struct {
		in  string
		out []float64
	}{
		{"1,2,4", []float64{1, 2, 4}}, {"1-16*2", []float64{1, 2, 4, 8, 16}}, {"10-30+10,64", []float64{10, 20, 30, 64}},
		{"0", nil}, {"1-4", nil}, {"1-4*1", nil}, {"4-1+1", nil}, {"", nil}, {"1-1e9+1", nil},
	} {
		if got, err := ParseSweep(c.in); (c.out == nil) != (err != nil) || err == nil && !slices.Equal(got, c.out) {
			t.Errorf("sweep %q: %v, %v", c.in, got, err)
		}
	}
	for _, c := range []struct {
		in  string
		out Shard
		ok  bool
	}{{"0/4", Shard{0, 4}, true}, {"3/4", Shard{3, 4}, true}, {"4/4", Shard{}, false}, {"-1/2", Shard{}, false}, {"1", Shard{}, false}} {
		if got, err := ParseShard(c.in); got != c.out || (err == nil) != c.ok {
			t.Errorf("shard %q: %v, %v", c.in, got, err)
		}
	}
}

func TestReadTrace(t *testing.T) {
	for _, c := range []struct {
		name, in, says string
		want           []TraceRow
	}{
		{name: "Azure", in: "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6805900,374,44\n2023-11-16 18:15:50.6805900,396,109\n",
			want: []TraceRow{{0, 374, 44, nil}, {4 * time.Second, 396, 109, nil}}},
		{name: "Mooncake", in: `{"timestamp": 27482, "input_length": 6955, "output_length": 52, "hash_ids": [46, 47]}` + "\n" + `{"timestamp": 30535, "input_length": 6472, "output_length": 26, "hash_ids": [46]}`,
			want: []TraceRow{{0, 6955, 52, []int64{46, 47}}, {3053 * time.Millisecond, 6472, 26, []int64{46}}}},
		{name: "BurstGPT, out of order", in: "Timestamp,Model,Request tokens,Response tokens\n9.5,x,5,6\n5,x,3,4\n",
			want: []TraceRow{{0, 3, 4, nil}, {4500 * time.Millisecond, 5, 6, nil}}},
		{name: "times only", in: "time\n1\n2\n", want: []TraceRow{{}, {At: time.Second}}},
		{name: "empty", in: "timestamp\n", says: "no rows"},
		{name: "no time", in: "a,b\n1,2\n", says: "no column"},
		{name: "bad length", in: "timestamp,input_length\n1,x\n", says: "line 2"},
		{name: "short line", in: "timestamp,input_length\n1\n", says: "line 2"},
		{name: "bad date", in: "timestamp\nyesterday\n", says: "yesterday"},
		{name: "half a row", in: `{"timestamp": 1}` + "\n{", says: "row 2"},
	} {
		got, err := ReadTrace(strings.NewReader(c.in))
		if c.says != "" {
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: %v, want %q", c.name, err, c.says)
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, %v", c.name, got, err)
		}
	}
	rows, _ := ReadTrace(strings.NewReader("time\n0\n10\n"))
	if s := plan(t, 1, Shard{}, Stage{Trace: Speed(rows, 4)}).Stages[0].Slots; len(s) != 2 || s[1].At != 2500*time.Millisecond {
		t.Errorf("%+v", s)
	}
}

func FuzzReadTrace(f *testing.F) {
	f.Add("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.68,374,44\n")
	f.Add(`{"timestamp": 27482, "input_length": 6955, "output_length": 52, "hash_ids": [46]}`)
	f.Fuzz(func(t *testing.T, s string) {
		rows, err := ReadTrace(strings.NewReader(s))
		if err != nil {
			return
		}
		for i, r := range rows {
			if r.Input < 0 || r.Output < 0 || r.At < 0 || i > 0 && r.At < rows[i-1].At {
				t.Fatalf("row %d: %+v", i, r)
			}
		}
	})
}
