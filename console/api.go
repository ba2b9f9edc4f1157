package console

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/goccy/go-yaml"
)

// The description of the API. A test holds it against the handlers.
//
//go:embed openapi.yaml
var openAPI []byte

// api is where the API lives; a change that breaks callers gets another number.
const api = "/api/v1"

// endpoint answers a request with what becomes JSON, or with an error.
type endpoint func(*http.Request) (any, error)

// created is an answer of status 201, done one of 204.
type (
	created struct{ body any }
	done    struct{}
)

// routes are the API's, but for the stream of events and the description. Each needs
// access; those that are not GET are refused from other sites.
func (s *Server) routes() map[string]endpoint {
	return map[string]endpoint{
		"GET /overview":                        s.overview,
		"GET /series":                          s.listSeries,
		"GET /series/{entity}/{topic}":         s.oneSeries,
		"GET /series/{entity}/{topic}/windows": s.windows,
		"GET /series/{entity}/{topic}/spikes":  s.spikes,
		"GET /alerts":                          s.listAlerts,
		"GET /alerts/{id}":                     s.oneAlert,
		"POST /alerts/{id}/acknowledge":        s.acknowledge,
		"POST /alerts/{id}/mute":               s.muteAlert,
		"GET /items":                           s.items,
		"GET /silences":                        s.listSilences,
		"POST /silences":                       s.addSilence,
		"DELETE /silences/{id}":                s.removeSilence,
		"GET /labels":                          s.listLabels,
		"POST /labels":                         s.addLabel,
		"GET /models":                          s.models,
	}
}

func (s *Server) serveAPI(mux *http.ServeMux) error {
	description, err := yaml.YAMLToJSON(openAPI)
	if err != nil {
		return fmt.Errorf("console: openapi.yaml: %w", err)
	}
	for route, answer := range s.routes() {
		method, path, _ := strings.Cut(route, " ")
		mux.Handle(method+" "+api+path, s.access.wants(s.json(answer)))
	}
	mux.Handle("GET "+api+"/events", s.access.wants(http.HandlerFunc(s.events)))
	mux.HandleFunc("GET "+api+"/openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(description)
	})
	mux.Handle("GET "+api+"/session", s.json(s.session))
	mux.HandleFunc("POST "+api+"/session", s.logIn)
	mux.HandleFunc("DELETE "+api+"/session", s.logOut)
	mux.HandleFunc(api+"/", func(w http.ResponseWriter, r *http.Request) { s.unknown(w, r, mux) })
	return nil
}

// unknown tells a path that is not there from a method that is not.
func (s *Server) unknown(w http.ResponseWriter, r *http.Request, mux *http.ServeMux) {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete} {
		other := r.Clone(r.Context())
		other.Method = method
		if _, pattern := mux.Handler(other); pattern != "" && pattern != api+"/" {
			allowed = append(allowed, method)
		}
	}
	if len(allowed) == 0 {
		s.fail(w, r, notFound(api+"/openapi.json lists what there is"))
		return
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	s.fail(w, r, &problem{Status: http.StatusMethodNotAllowed, Title: "No such method here", Detail: "There is " + strings.Join(allowed, ", ")})
}

// json answers with what an endpoint gives.
func (s *Server) json(answer endpoint) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := answer(r)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		status := http.StatusOK
		switch b := body.(type) {
		case created:
			status, body = http.StatusCreated, b.body
		case done:
			w.WriteHeader(http.StatusNoContent)
			return
		}
		text, err := json.Marshal(body)
		if err != nil {
			s.fail(w, r, fmt.Errorf("encoding the answer: %w", err))
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(status)
		_, _ = w.Write(text) // the client is gone: nobody to tell
	})
}

// maxBody is the longest body of a request.
const maxBody = 64 << 10

// readBody reads the one JSON object of a request into one of ours.
func readBody(w http.ResponseWriter, r *http.Request, into any) error {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return &problem{Status: http.StatusUnsupportedMediaType, Title: "The body is to be JSON", Detail: "Send it with Content-Type: application/json"}
	}
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(into)
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return &problem{Status: http.StatusRequestEntityTooLarge, Title: "The body is too long", Detail: fmt.Sprintf("At most %d bytes", maxBody)}
	}
	if err != nil {
		return badRequest("the body: " + err.Error())
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return badRequest("the body is one JSON object, with nothing after it")
	}
	return nil
}
