package simulator

import (
	"net/http"
	"slices"
	"strings"
)

// namedModel is the stage 'model' of the dialects whose requests choose a model:
// one that the endpoint does not have is refused as OpenAI does, since a name
// that is wrong would cost a client its answers elsewhere.
func namedModel(c *call) *refusal {
	name := c.values.text("model")
	if !c.dialect.choosesModel || name == c.deployment.model {
		return nil
	}
	for _, d := range c.deployment.front.deployments {
		if name == d.model || slices.Contains(d.aliases, name) || slices.Contains(d.aliases, anyModel) {
			return nil
		}
	}
	return c.deployment.noModel(name)
}

// anyModel as an alias stands for every name.
const anyModel = "*"

// modelNames are those that can be listed.
func (d *deployment) modelNames() []string {
	names := []string{d.model}
	for _, a := range d.aliases {
		if a != anyModel {
			names = append(names, a)
		}
	}
	return names
}

func (d *deployment) noModel(name string) *refusal {
	return refuse(http.StatusNotFound, "model_not_found", "The model `%s` does not exist or you do not have access to it. There is %s.",
		clip(name), strings.Join(d.modelNames(), ", "))
}
