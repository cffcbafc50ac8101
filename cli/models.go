package cli

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"

	"github.com/touchstone-llm/touchstone/engine"
	"github.com/touchstone-llm/touchstone/simulator"
)

// models are the open ones: deployments of one file and the same options share it
// and its engine.
type models struct {
	mu   sync.Mutex
	open map[modelKey]*openedModel
}

type modelKey struct {
	path    string // "" is the embedded model
	options engine.Options
}

type openedModel struct {
	model  *engine.Model
	engine *engine.Engine
	users  int
}

// take opens a model and its engine, if they are not open.
func (m *models) take(k modelKey) (e *engine.Engine, release func(), err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.open == nil {
		m.open = map[modelKey]*openedModel{}
	}
	o := m.open[k]
	if o == nil {
		model, err := openModel(k.path)
		if err != nil {
			return nil, nil, err
		}
		o = &openedModel{model: model, engine: engine.New(model, k.options)}
		m.open[k] = o
	}
	o.users++
	return o.engine, sync.OnceFunc(func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if o.users--; o.users == 0 {
			delete(m.open, k)
			o.engine.Close()
			o.model.Close()
		}
	}), nil
}

// randomContext is the context of text at random.
const randomContext = 128 << 10

// fill gives each deployment its generator. Relative paths are from dir.
func (m *models) fill(ctx context.Context, list []simulator.Endpoint, dir string) error {
	for i := range list {
		for _, s := range settingsOf(&list[i]) {
			if err := m.fillOne(ctx, s, dir); err != nil {
				return fmt.Errorf("endpoint %s: %w", list[i].Name, err)
			}
		}
	}
	return nil
}

// settingsOf are those of the deployments of an endpoint.
func settingsOf(e *simulator.Endpoint) []*simulator.Settings {
	if e.Kind != "managed" {
		return []*simulator.Settings{&e.Settings}
	}
	var all []*simulator.Settings
	for i := range e.Deployments {
		all = append(all, &e.Deployments[i].Settings)
	}
	return all
}

func (m *models) fillOne(ctx context.Context, s *simulator.Settings, dir string) error {
	switch {
	case s.Upstream.URL != "":
		g, err := simulator.Upstream(ctx, s.Upstream)
		s.Generator = g
		return err
	case s.Model == "random":
		s.Generator = simulator.Random(randomContext)
		return nil
	}
	path := s.Model
	if path != "" && !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	e, release, err := m.take(modelKey{path, s.Engine.Options()})
	if err != nil {
		return fmt.Errorf("--model: %w", err)
	}
	s.Generator, s.Close = simulator.Local(e), release
	if s.ModelName == "" {
		s.ModelName = embedded
		if path != "" {
			s.ModelName = strings.TrimSuffix(filepath.Base(path), ".gguf")
		}
	}
	return nil
}

// closeAll closes what was opened for a list that is not served.
func closeAll(list []simulator.Endpoint) {
	for i := range list {
		for _, s := range settingsOf(&list[i]) {
			if s.Close != nil {
				s.Close()
			}
		}
	}
}
