package engine

// Stats is what an engine does and has done, as vLLM's metrics name it.
type Stats struct {
	Running int // requests that are being computed (num_requests_running)
	Waiting int // requests that wait for memory or have just come (num_requests_waiting)

	KVCacheBlocks     int // blocks of 32 tokens that the cache may have
	KVCacheBlocksUsed int // of them, those that running requests use

	PrefixCacheQueries int64 // tokens of prompts looked for in the cache (prefix_cache_queries)
	PrefixCacheHits    int64 // tokens of prompts found there (prefix_cache_hits)
	Preemptions        int64 // sequences put off for want of memory (num_preemptions)
	PromptTokens       int64 // tokens of prompts whose computation ended (prompt_tokens)
	GenerationTokens   int64 // tokens generated, those of all candidates (generation_tokens)
	Steps              int64 // forward passes
	StepTokens         int64 // tokens that they computed (iteration_tokens)
}

// KVCacheUsage is the share of the cache that running requests use, 0 to 1
// (kv_cache_usage_perc).
func (s Stats) KVCacheUsage() float64 {
	return float64(s.KVCacheBlocksUsed) / float64(max(s.KVCacheBlocks, 1))
}

// Stats returns the state after the last step.
func (e *Engine) Stats() Stats {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.stats
	s.Waiting += len(e.arrived)
	return s
}
