package simulator

import (
	"errors"
	"net/url"
)

// UpstreamConfig says which OpenAI-compatible server answers in place of the
// engine: vLLM, llama.cpp's server, SGLang, Ray Serve, llm-d, another touchstone.
type UpstreamConfig struct {
	// URL is the base below which /v1/completions is.
	URL string `yaml:"url"`
	// Model is the name that is sent; "" is the first that the server lists.
	Model string `yaml:"model"`
	// Key opens it.
	Key Key `yaml:"key"`
}

func (u UpstreamConfig) validate() error {
	if u.URL == "" {
		return nil
	}
	parsed, err := url.Parse(u.URL)
	if err != nil || parsed.Scheme != "http" && parsed.Scheme != "https" || parsed.Host == "" || parsed.User != nil {
		return at("url", errors.New("must be http://HOST or https://HOST, without a password"))
	}
	return nil
}
