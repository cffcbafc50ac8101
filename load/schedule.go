package load

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// An Arrival is how the gaps between the requests of an open loop vary.
type Arrival struct {
	// CV is their coefficient of variation: 0 is a constant rate, 1 is
	// Poisson, more comes in bursts (gamma).
	CV float64
}

// The usual arrivals.
var (
	Constant = Arrival{0}
	Poisson  = Arrival{1}
)

// ParseArrival reads constant, poisson or gamma:CV.
func ParseArrival(s string) (Arrival, error) {
	switch kind, cv, ok := strings.Cut(s, ":"); {
	case s == "constant":
		return Constant, nil
	case s == "poisson":
		return Poisson, nil
	case kind == "gamma" && ok:
		v, err := strconv.ParseFloat(cv, 64)
		if err == nil && v > 0 && v <= 100 {
			return Arrival{v}, nil
		}
		return Arrival{}, fmt.Errorf("%q: the coefficient of variation behind gamma: must be above 0 and at most 100", s)
	}
	return Arrival{}, fmt.Errorf("%q: want constant, poisson or gamma:CV, as in gamma:2", s)
}

// String is the form that ParseArrival reads.
func (a Arrival) String() string {
	switch a.CV {
	case 0:
		return "constant"
	case 1:
		return "poisson"
	}
	return "gamma:" + strconv.FormatFloat(a.CV, 'g', -1, 64)
}

// gap is the time to the next arrival where the rate is 1.
func (a Arrival) gap(r random) float64 {
	switch a.CV {
	case 0:
		return 1
	case 1:
		return r.exp()
	}
	shape := 1 / (a.CV * a.CV)
	return r.gamma(shape) / shape
}

// A Stage is a stretch of load. Either Rate is set (open loop: requests are
// sent when the schedule says, whatever the target does), or Concurrency
// (closed loop: each of so many users sends when it has its answer), or Trace
// (open loop, the times of a recording).
type Stage struct {
	Name string
	// Rate is in requests a second; where EndRate is set, the rate goes from
	// Rate to EndRate in a straight line.
	Rate, EndRate float64
	Arrival       Arrival
	// Concurrency is how many users there are, Think how many seconds each
	// waits before its next request, and RampUp the time over which they
	// arrive, evenly.
	Concurrency int
	Think       Dist
	RampUp      time.Duration
	Trace       []TraceRow
	// Duration is for how long requests are sent. A closed loop may have
	// Requests instead, or both; the first that is reached ends the stage.
	Duration time.Duration
	Requests int
	// Warmup is how much of the beginning stays out of the figures.
	Warmup time.Duration
}

// Open is whether the stage is an open loop.
func (s *Stage) Open() bool { return s.Concurrency == 0 }

// maxArrivals bounds a schedule, which is held in memory.
const maxArrivals = 20_000_000

func (s *Stage) validate() error {
	switch {
	case s.Concurrency < 0 || s.Rate < 0 || s.EndRate < 0:
		return fmt.Errorf("stage %s: rate and concurrency cannot be negative", s.Name)
	case s.Concurrency > 0 && (s.Rate > 0 || s.EndRate > 0 || s.Trace != nil):
		return fmt.Errorf("stage %s: concurrency is a closed loop, rate and trace are open ones; give one", s.Name)
	case s.Concurrency > 0 && s.Duration <= 0 && s.Requests <= 0:
		return fmt.Errorf("stage %s: give a duration or a number of requests", s.Name)
	case s.Concurrency == 0 && s.Trace == nil && s.Rate == 0 && s.EndRate == 0:
		return fmt.Errorf("stage %s: give a rate, a concurrency or a trace", s.Name)
	case s.Open() && s.Trace == nil && s.Duration <= 0 && (s.Requests <= 0 || s.EndRate > 0):
		return fmt.Errorf("stage %s: give a duration", s.Name)
	case s.Open() && s.Trace == nil && max(s.Rate, s.EndRate)*s.Duration.Seconds() > maxArrivals, s.Requests > maxArrivals:
		return fmt.Errorf("stage %s: more than %d requests", s.Name, maxArrivals)
	case s.Warmup < 0 || s.Duration > 0 && s.Warmup >= s.Duration:
		return fmt.Errorf("stage %s: the warm-up must be shorter than the duration", s.Name)
	}
	return nil
}

// arrivals are the times of an open loop since the stage's begin. The gaps
// are drawn for a rate of 1 and laid on the clock through the rate's integral,
// so that ramps keep the character of the arrival.
func (s *Stage) arrivals(r random) []time.Duration {
	if s.Trace != nil {
		times := make([]time.Duration, 0, len(s.Trace))
		for _, row := range s.Trace {
			if s.Duration > 0 && row.At >= s.Duration || s.Requests > 0 && len(times) == s.Requests {
				break
			}
			times = append(times, row.At)
		}
		return times
	}
	end := s.Duration.Seconds()
	if s.Duration <= 0 {
		end = math.Inf(1)
	}
	var times []time.Duration
	due := 0.0 // requests due so far, as a real number
	if s.Arrival.CV > 0 {
		due = s.Arrival.gap(r)
	}
	for s.Requests <= 0 || len(times) < s.Requests {
		t := s.when(due, end)
		if !(t < end) {
			break
		}
		times = append(times, time.Duration(math.Round(t*1e9)))
		due += s.Arrival.gap(r)
	}
	return times
}

// when is the second at which n requests are due.
func (s *Stage) when(n, end float64) float64 {
	if s.EndRate == 0 || s.EndRate == s.Rate || math.IsInf(end, 1) {
		return n / max(s.Rate, s.EndRate)
	}
	// n = Rate·t + k·t²/2; the root that is 0 at n = 0, without cancellation.
	k := (s.EndRate - s.Rate) / end
	d := s.Rate*s.Rate + 2*k*n
	if d < 0 {
		return math.Inf(1) // a falling rate ends before
	}
	if q := s.Rate + math.Sqrt(d); q > 0 {
		return 2 * n / q
	}
	return 0
}

// A Shard is one of N machines, or processes, that share a schedule; of the
// zero Shard there is one.
type Shard struct{ Index, Count int }

// ParseShard reads i/n with i in 0 … n-1.
func ParseShard(s string) (Shard, error) {
	i, n, ok := strings.Cut(s, "/")
	index, err1 := strconv.Atoi(i)
	count, err2 := strconv.Atoi(n)
	if !ok || err1 != nil || err2 != nil || count < 1 || index < 0 || index >= count {
		return Shard{}, fmt.Errorf("%q: want i/n with i from 0 to n-1, as in 0/4", s)
	}
	return Shard{index, count}, nil
}

func (s Shard) mine(i int) bool { return s.Count <= 1 || i%s.Count == s.Index }

// A Plan is who is sent when, worked out before the run. It depends on the
// stages, the seed and the shard and on nothing else; the shards of a plan
// are disjoint and together the whole.
type Plan struct {
	Seed   uint64
	Shard  Shard
	Stages []StagePlan
}

// A StagePlan is a stage with its times.
type StagePlan struct {
	Stage
	// Slots are the requests of an open loop that this shard sends, in order.
	Slots []Slot
	// Users are those of a closed loop that this shard plays; Requests of the
	// Stage is shared out among all users evenly.
	Users []int
	// Offered is how many requests the whole open loop has, over all shards,
	// and First the index of its first request.
	Offered, First int
}

// A Slot is one request of an open loop.
type Slot struct {
	// Index numbers the requests of a run, over all stages and shards.
	Index int
	// At is when it is to be sent, since the begin of its stage.
	At time.Duration
	// Row is that of the trace, or -1.
	Row int
}

// NewPlan works out the schedule.
func NewPlan(stages []Stage, seed uint64, shard Shard) (*Plan, error) {
	if len(stages) == 0 {
		return nil, fmt.Errorf("no stage: give a rate, a concurrency or a trace")
	}
	p := &Plan{Seed: seed, Shard: shard}
	first := 0
	for i, s := range stages {
		if s.Name == "" {
			s.Name = strconv.Itoa(i + 1)
		}
		if err := s.validate(); err != nil {
			return nil, err
		}
		sp := StagePlan{Stage: s, First: first}
		if s.Open() {
			times := s.arrivals(newRandom(seed, forArrivals, uint64(i)))
			sp.Offered = len(times)
			for k, at := range times {
				row := -1
				if s.Trace != nil {
					row = k
				}
				if shard.mine(k) {
					sp.Slots = append(sp.Slots, Slot{first + k, at, row})
				}
			}
			first += len(times)
		} else {
			for u := range s.Concurrency {
				if shard.mine(u) {
					sp.Users = append(sp.Users, u)
				}
			}
			// A closed loop has no end of its own; its requests are numbered
			// in a block of their own, by user and turn.
			first += closedBlock
		}
		p.Stages = append(p.Stages, sp)
	}
	return p, nil
}

// closedBlock is how many indexes a closed-loop stage has.
const closedBlock = 1 << 40

// share is how many of the stage's requests user u sends; -1: no limit.
func (s *StagePlan) share(u int) int {
	if s.Requests <= 0 {
		return -1
	}
	n := s.Requests / s.Concurrency
	if u < s.Requests%s.Concurrency {
		n++
	}
	return n
}

// ParseSweep reads the levels of a stepped sweep, as in 1,2,4,8 or 1-16*2
// (times two each step) or 10-50+10.
func ParseSweep(s string) ([]float64, error) {
	bad := fmt.Errorf("%q: want levels as in 1,2,4,8, or 1-16*2, or 10-50+10", s)
	var levels []float64
	for _, f := range strings.Split(s, ",") {
		if v, err := strconv.ParseFloat(f, 64); err == nil {
			if !(v > 0) || math.IsInf(v, 0) {
				return nil, bad
			}
			levels = append(levels, v)
			continue
		}
		from, rest, ok := strings.Cut(f, "-")
		i := strings.IndexAny(rest, "*+")
		if !ok || i < 0 {
			return nil, bad
		}
		a, err1 := strconv.ParseFloat(from, 64)
		b, err2 := strconv.ParseFloat(rest[:i], 64)
		by, err3 := strconv.ParseFloat(rest[i+1:], 64)
		if err1 != nil || err2 != nil || err3 != nil || !(a > 0) || !(b >= a) || math.IsInf(b, 0) ||
			rest[i] == '*' && !(by > 1) || rest[i] == '+' && !(by > 0) {
			return nil, bad
		}
		for k := 0; ; k++ {
			v := a + float64(k)*by
			if rest[i] == '*' {
				v = a * math.Pow(by, float64(k))
			}
			if v > b*(1+1e-9) {
				break
			}
			if levels = append(levels, v); len(levels) > 1000 {
				return nil, fmt.Errorf("%q: more than 1000 levels", s)
			}
		}
	}
	return levels, nil
}
