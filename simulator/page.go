package simulator

import "net/http"

func (s *Server) page(w http.ResponseWriter, r *http.Request) {}
