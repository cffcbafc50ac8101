package simulator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// redisMeters returns a maker of meters in the Redis at a URL, which all
// replicas that are told of it share.
func redisMeters(url string) (func(name string) meter, error) {
	options, err := redis.ParseURL(url)
	if err != nil {
		return nil, errors.New("must be redis://HOST:PORT/DB") // its own text may hold the password
	}
	options.DisableIdentity = true
	client := redis.NewClient(options)
	return func(name string) meter { return &shared{client, "touchstone:{" + name + "}:"} }, nil
}

// shared is a meter in Redis. A window is a key that holds what was used and
// expires at the window's end, by the clock of Redis alone.
type shared struct {
	client redis.Scripter
	prefix string
}

const redisTime = 2 * time.Second

// takeScript takes from all windows or from none. For each key: cost, limit,
// length in ms. It returns the index that is refused, 0 for none, and for each
// window what is used and the ms until its end, -1 before its begin.
var takeScript = redis.NewScript(`
local refused, latest, out = 0, -1, {0}
for i, key in ipairs(KEYS) do
  local used, left = tonumber(redis.call('GET', key) or '0'), redis.call('PTTL', key)
  if left < 0 then used, left = 0, -1 end
  if used + tonumber(ARGV[3*i-2]) > tonumber(ARGV[3*i-1]) and left > latest then refused, latest = i, left end
  out[2*i], out[2*i+1] = used, left
end
out[1] = refused
if refused == 0 then
  for i, key in ipairs(KEYS) do
    if out[2*i+1] < 0 then
      redis.call('SET', key, ARGV[3*i-2], 'PX', ARGV[3*i])
      out[2*i], out[2*i+1] = tonumber(ARGV[3*i-2]), tonumber(ARGV[3*i])
    else
      out[2*i] = redis.call('INCRBY', key, ARGV[3*i-2])
    end
  end
end
return out`)

// giveScript takes tokens back, but for a window that began since.
var giveScript = redis.NewScript(`
local left = redis.call('PTTL', KEYS[1])
if left > 0 and math.abs(left - tonumber(ARGV[2])) < 1000 then
  redis.call('SET', KEYS[1], math.max(0, tonumber(redis.call('GET', KEYS[1])) - tonumber(ARGV[1])), 'KEEPTTL')
end
return 0`)

var lookScript = redis.NewScript(`
local out = {}
for i, key in ipairs(KEYS) do
  local left = redis.call('PTTL', key)
  out[2*i-1], out[2*i] = tonumber(redis.call('GET', key) or '0'), left
  if left < 0 then out[2*i-1], out[2*i] = 0, -1 end
end
return out`)

func (m *shared) keys(windows []window) []string {
	keys := make([]string, len(windows))
	for i, w := range windows {
		keys[i] = m.prefix + w.name
	}
	return keys
}

func (m *shared) take(ctx context.Context, windows []window, costs []int) ([]level, int, error) {
	ctx, cancel := context.WithTimeout(ctx, redisTime)
	defer cancel()
	var arguments []any
	for i, w := range windows {
		arguments = append(arguments, costs[i], w.limit, w.length.Milliseconds())
	}
	out, err := takeScript.Run(ctx, m.client, m.keys(windows), arguments...).Int64Slice()
	if err != nil {
		return nil, -1, fmt.Errorf("redis: %w", err)
	}
	return levelsOf(out[1:]), int(out[0]) - 1, nil
}

func (m *shared) give(ctx context.Context, windows []window, i int, until time.Time, n int) error {
	ctx, cancel := context.WithTimeout(ctx, redisTime)
	defer cancel()
	return giveScript.Run(ctx, m.client, m.keys(windows[i:i+1]), n, time.Until(until).Milliseconds()).Err()
}

func (m *shared) look(ctx context.Context, windows []window) ([]level, error) {
	ctx, cancel := context.WithTimeout(ctx, redisTime)
	defer cancel()
	out, err := lookScript.Run(ctx, m.client, m.keys(windows)).Int64Slice()
	if err != nil {
		return nil, fmt.Errorf("redis: %w", err)
	}
	return levelsOf(out), nil
}

// levelsOf reads pairs of what is used and the ms that are left.
func levelsOf(pairs []int64) []level {
	now := time.Now()
	levels := make([]level, len(pairs)/2)
	for i := range levels {
		if left := pairs[2*i+1]; left >= 0 {
			levels[i] = level{int(pairs[2*i]), now.Add(time.Duration(left) * time.Millisecond)}
		}
	}
	return levels
}
