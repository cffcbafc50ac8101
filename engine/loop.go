package engine

import (
	"runtime"
	"slices"
)

// submit hands a request to the loop.
func (e *Engine) submit(g *generation) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed.Load() {
		return ErrClosed
	}
	e.arrived = append(e.arrived, g)
	e.start()
	return nil
}

// withdraw tells the loop that nobody wants more of a request.
func (e *Engine) withdraw(g *generation) {
	e.mu.Lock()
	defer e.mu.Unlock()
	g.withdrawn = true
	e.start()
}

// resume starts the loop again for a request that may have been paused, of
// which n steps were just taken.
func (e *Engine) resume(g *generation, n int) {
	if n < maxAhead*g.width {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.start()
}

// start starts the loop if it has ended. mu is held.
func (e *Engine) start() {
	if !e.looping {
		e.looping = true
		go e.loop()
	}
}

// loop steps as long as there is something to compute.
func (e *Engine) loop() {
	for {
		step := e.next()
		if step == nil {
			return
		}
		e.step(step)
	}
}

// next takes in what has changed since the last step and returns what the next
// one computes; nil if there is nothing, and the loop has ended.
func (e *Engine) next() []*candidate {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := &e.scheduler
	for _, g := range e.arrived {
		s.add(g)
	}
	e.arrived = nil
	closed := e.closed.Load()
	s.remove(func(g *generation) bool {
		if closed {
			g.out.put(nil, true, ErrClosed)
		}
		// A caller that is cancelled may be held up before it withdraws.
		return closed || g.done || g.withdrawn || g.ctx.Err() != nil
	})
	step := s.schedule()
	e.count(step)
	if len(step) == 0 {
		e.looping = false
		e.idle.Broadcast()
		return nil
	}
	return step
}

// count brings the statistics up to date. mu is held.
func (e *Engine) count(step []*candidate) {
	s, st := &e.scheduler, &e.stats
	st.Running, st.Waiting = 0, 0
	for _, g := range s.requests {
		if slices.ContainsFunc(g.live, func(c *candidate) bool { return len(c.cache.blocks) > 0 }) {
			st.Running++
		} else {
			st.Waiting++
		}
	}
	st.KVCacheBlocksUsed = s.pool.used()
	st.PrefixCacheQueries, st.PrefixCacheHits, st.Preemptions = s.queries, s.hits, s.preempts
	st.PromptTokens, st.GenerationTokens = e.prompts, e.generated
	if len(step) > 0 {
		st.Steps++
	}
	for _, c := range step {
		st.StepTokens += int64(c.planned)
	}
}

// step computes what is planned and hands over what comes of it.
func (e *Engine) step(step []*candidate) {
	threads := e.options.Threads
	if threads <= 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	rows := e.fill(step)
	for batch := range slices.Chunk(rows, batchLen) {
		e.model.forward(batch, threads)
	}

	var generations []*generation // of the step
	for _, c := range step {
		g := c.gen
		if len(generations) == 0 || generations[len(generations)-1] != g {
			generations = append(generations, g)
		}
		mine := rows[:c.planned]
		rows = rows[c.planned:]
		c.planned = 0
		if e.scheduler.findPrefixes {
			c.cache.publish(c.tokens)
		}
		if c.ready = c.lag() == 0; c.ready {
			c.logits = mine[len(mine)-1].logits
		}
		if err := g.computed(c, c.cache.len-len(mine), mine); err != nil {
			g.fail(err)
		} else if c.ready && !g.started {
			e.prompts += int64(len(g.request.Prompt))
			g.start()
		}
	}
	var drawing []*candidate
	for _, g := range generations {
		for _, c := range g.live {
			if c.ready && !c.drawn && !g.done {
				drawing = append(drawing, c)
			}
		}
	}
	e.generated += int64(len(drawing))
	e.draw(drawing, threads)
	for _, g := range generations {
		if !g.done {
			if err := g.advance(); err != nil {
				g.fail(err)
			}
		}
		if g.done {
			g.release()
		}
		g.out.put(g.steps, g.done, g.err)
		g.steps = nil
	}
}

// fill returns the rows that are planned. It uses the memory of the last step's
// again.
func (e *Engine) fill(step []*candidate) []row {
	rows := e.rows[:0]
	asked := 0
	for _, c := range step {
		g := c.gen
		for i := range c.planned {
			pos := c.cache.len + i
			r := row{cache: c.cache, token: c.tokens[pos]}
			if g.observer != nil && pos >= g.observed && !g.started {
				g.observer.want(&r)
			}
			if pos == len(c.tokens)-1 && r.logits == nil && r.hidden == nil {
				if asked == len(e.logits) {
					e.logits = append(e.logits, make([]float32, e.model.config.VocabSize))
				}
				r.logits = e.logits[asked]
				asked++
			}
			rows = append(rows, r)
		}
	}
	e.rows = rows
	return rows
}

// draw lets candidates take their next tokens, on up to threads processors.
func (e *Engine) draw(candidates []*candidate, threads int) {
	vocab := e.model.config.VocabSize
	const workPerToken = 16 // an exponential, mostly, in multiply-adds
	parallel(len(candidates), workPerToken*vocab, threads, func(from, to int) {
		scratch := e.logp.Get().(*[]float64)
		defer e.logp.Put(scratch)
		for _, c := range candidates[from:to] {
			c.draw(*scratch)
		}
	})
}
