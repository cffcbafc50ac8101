package engine

import (
	"context"
	"sync"
)

// maxAhead is how many steps for each of its sequences a request is computed
// ahead of its caller. A caller that is slower makes the request wait, not the
// others.
const maxAhead = 64

// An outbox hands the steps of a request from the loop to its caller.
type outbox struct {
	mu    sync.Mutex
	steps []Step
	last  bool // no more will come
	err   error
	ready chan struct{} // of one
}

func newOutbox() outbox { return outbox{ready: make(chan struct{}, 1)} }

// put adds steps; last, or err, says that no more will come.
func (o *outbox) put(steps []Step, last bool, err error) {
	if len(steps) == 0 && !last && err == nil {
		return
	}
	o.mu.Lock()
	o.steps = append(o.steps, steps...)
	o.last, o.err = last, err
	o.mu.Unlock()
	select {
	case o.ready <- struct{}{}:
	default:
	}
}

// take waits for steps and returns all that are there. An error comes alone,
// after the steps before it.
func (o *outbox) take(ctx context.Context) (steps []Step, last bool, err error) {
	for {
		o.mu.Lock()
		steps, o.steps = o.steps, nil
		last, err = o.last, o.err
		o.mu.Unlock()
		switch {
		case len(steps) > 0 && err != nil:
			return steps, false, nil // the next call returns the error
		case len(steps) > 0 || last || err != nil:
			return steps, last, err
		}
		select {
		case <-o.ready:
		case <-ctx.Done():
			return nil, false, ctx.Err()
		}
	}
}

// waiting returns how many steps nobody has taken.
func (o *outbox) waiting() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.steps)
}
