package simulator

import "net/http"

// models lists the one model of the deployment, or shows it by its name
// (INF-012).
func (d *deployment) models(_ mount, below string) ([]byte, *refusal) {
	model := append([]byte(nil), `{"id":`...)
	model = appendString(model, d.model)
	model = append(model, `,"object":"model","created":`...)
	model = appendInt(model, int(d.server.started.Unix()))
	model = append(model, `,"owned_by":"touchstone"}`...)
	switch below {
	case "":
		return append(append([]byte(`{"object":"list","data":[`), model...), `]}`...), nil
	case d.model:
		return model, nil
	}
	return nil, refuse(http.StatusNotFound, "model_not_found", "There is no model %q; the model is %q.", clip(below), d.model)
}

// info describes the model in the way of the model inference API (INF-001 to
// INF-004, conflict C41).
func (d *deployment) info(mount, string) ([]byte, *refusal) {
	b := append([]byte(nil), `{"model_name":`...)
	b = appendString(b, d.model)
	return append(b, `,"model_type":"chat-completion","model_provider_name":"touchstone"}`...), nil
}
