package simulator

// models lists the one model of the deployment by its names, or shows it by one
// of them (INF-012).
func (d *deployment) models(_ mount, below string) ([]byte, *refusal) {
	list := []byte(`{"object":"list","data":[`)
	for i, name := range d.modelNames() {
		if i > 0 {
			list = append(list, ',')
		}
		from := len(list)
		list = append(list, `{"id":`...)
		list = appendString(list, name)
		list = append(list, `,"object":"model","created":`...)
		list = appendInt(list, int(d.server.started.Unix()))
		list = append(list, `,"owned_by":"touchstone"}`...)
		if name == below {
			return list[from:], nil
		}
	}
	if below != "" {
		return nil, d.noModel(below)
	}
	return append(list, `]}`...), nil
}

// info describes the model in the way of the model inference API (INF-001 to
// INF-004, conflict C41).
func (d *deployment) info(mount, string) ([]byte, *refusal) {
	b := append([]byte(nil), `{"model_name":`...)
	b = appendString(b, d.model)
	return append(b, `,"model_type":"chat-completion","model_provider_name":"touchstone"}`...), nil
}
