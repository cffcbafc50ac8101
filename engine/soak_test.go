package engine

import (
	"context"
	"math/rand/v2"
	"os"
	"reflect"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/touchstone-llm/touchstone/engine/internal/ggufwrite"
)

// TestSoak keeps one engine busy with requests of all kinds, callers that leave
// and callers that dawdle, and looks every tenth of the time at what it holds
// while nothing runs: goroutines, heap and blocks must not grow.
//
// TOUCHSTONE_SOAK is how long (make soak); without it a few hundred requests.
func TestSoak(t *testing.T) {
	long, _ := time.ParseDuration(os.Getenv("TOUCHSTONE_SOAK"))
	sub := newSubject(t, ggufwrite.Small)
	c := sub.model.Config()
	e := New(sub.model, Options{KVCacheBytes: 24 * blockBytes(&c)})
	defer e.Close()

	var mu sync.Mutex
	requests, wrong := 0, 0
	busy := func(seed uint64, more func(done int) bool) {
		rng := rand.New(rand.NewPCG(seed, 3))
		for done := 0; more(done); done++ {
			i, leave := rng.IntN(len(sub.requests)), 0
			if rng.IntN(5) == 0 {
				leave = 1 + rng.IntN(9)
			}
			ctx, cancel := context.WithCancel(context.Background())
			steps := 0
			got, err := Collect(func(yield func(Step, error) bool) {
				for s, err := range e.Generate(ctx, sub.requests[i]) {
					if steps++; steps == leave {
						if rng.IntN(2) == 0 {
							return
						}
						cancel()
					}
					if !yield(s, err) {
						return
					}
					if rng.IntN(50) == 0 {
						runtime.Gosched()
					}
				}
			}, sub.requests[i].N)
			cancel()
			mu.Lock()
			requests++
			if leave == 0 && (err != nil || !reflect.DeepEqual(got, sub.answers[i])) {
				wrong++
			}
			mu.Unlock()
		}
	}
	var heap, first uint64
	var goroutines, firstGoroutines, blocks int
	const rounds = 10
	for round := range rounds {
		end := time.Now().Add(long / rounds)
		var wg sync.WaitGroup
		for worker := range 12 {
			wg.Go(func() {
				busy(uint64(round*100+worker), func(done int) bool {
					if long == 0 {
						return done < 2
					}
					return time.Now().Before(end)
				})
			})
		}
		wg.Wait()
		for {
			e.mu.Lock()
			looping := e.looping
			e.mu.Unlock()
			if !looping {
				break
			}
			runtime.Gosched()
		}
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		heap, goroutines, blocks = m.HeapAlloc, runtime.NumGoroutine(), e.scheduler.pool.made
		if round == 1 { // the cache is full by then
			first, firstGoroutines = heap, goroutines
		}
		if used := e.scheduler.pool.used(); used != 0 {
			t.Errorf("round %d: %d blocks are still in use", round, used)
		}
		if long > 0 {
			t.Logf("round %d: %d requests, heap %d KiB, %d goroutines, %d blocks", round, requests, heap>>10, goroutines, blocks)
		}
	}
	if heap > first+first/10+1<<20 || goroutines > firstGoroutines+2 || blocks > 24 {
		t.Errorf("heap %d KiB, then %d; goroutines %d, then %d; %d blocks of 24", first>>10, heap>>10, firstGoroutines, goroutines, blocks)
	}
	if wrong > 0 {
		t.Errorf("%d of %d answers are others than alone", wrong, requests)
	}
}
