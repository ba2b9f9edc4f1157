package console

import (
	"cmp"
	"encoding/json"
	"errors"
	"net/http"
)

// problem is an error as RFC 9457 has it: application/problem+json.
type problem struct {
	Type   string `json:"type"` // always about:blank: the title says it
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"` // what to do about it
}

// Error implements error.
func (p *problem) Error() string { return p.Title + ": " + p.Detail }

func badRequest(detail string) *problem {
	return &problem{Status: http.StatusBadRequest, Title: "The request cannot be understood", Detail: detail}
}

func notFound(detail string) *problem {
	return &problem{Status: http.StatusNotFound, Title: "Not found", Detail: detail}
}

// fail answers with the problem that an error is. What the caller cannot mend is logged
// and not told: it may name addresses.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	var p *problem
	switch {
	case errors.As(err, &p):
	case errors.Is(err, ErrInvalid):
		p = &problem{Status: http.StatusUnprocessableEntity, Title: "That cannot be done", Detail: err.Error()}
	case errors.Is(err, ErrNotFound):
		p = notFound(err.Error())
	case r.Context().Err() != nil:
		return // the client is gone
	default:
		s.log.Warn("console: a request failed", "method", r.Method, "path", r.URL.Path, "error", err)
		p = &problem{Status: http.StatusServiceUnavailable, Title: "Not to be had just now",
			Detail: "Kafka or Redis did not answer; /readyz and the log say more. Try again soon."}
	}
	p.Type = cmp.Or(p.Type, "about:blank")
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the client is gone: nobody to tell
}
