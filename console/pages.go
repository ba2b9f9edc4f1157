package console

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"

	"golang.org/x/text/language"
)

// The pages' files: all of it is in the binary, and a page loads nothing from elsewhere.
//
//go:embed web/page.html web/static
var web embed.FS

// policy lets a page run and load only files of the console, and write text only as text.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; manifest-src 'self'; " +
	"base-uri 'none'; form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// pages are the paths that show one. What a page shows is asked of the API by its script.
var pages = map[string]string{
	"GET /{$}":                "overview",
	"GET /s/{entity}":         "series",
	"GET /s/{entity}/{topic}": "series",
	"GET /a/{id}":             "alert",
	"GET /items":              "items",
	"GET /labels":             "labels",
	"GET /models":             "models",
	"GET /login":              "login",
}

// languages are those of the pages, the preferred first.
var languages = language.NewMatcher([]language.Tag{language.English, language.SimplifiedChinese})

const languageCookie = "barograph_language"

// asset is a file of the pages.
type asset struct {
	content []byte
	kind    string
	tag     string
}

func (s *Server) servePages(mux *http.ServeMux) error {
	page, err := template.ParseFS(web, "web/page.html")
	if err != nil {
		return fmt.Errorf("console: %w", err)
	}
	assets, err := readAssets()
	if err != nil {
		return fmt.Errorf("console: %w", err)
	}
	for route, name := range pages {
		mux.HandleFunc(route, func(w http.ResponseWriter, r *http.Request) {
			if _, err := s.access.user(r); err != nil && name != "login" {
				s.turnAway(w, r, err)
				return
			}
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			w.Header().Set("Cache-Control", "no-store")
			w.Header().Set("Vary", "Accept-Language, Cookie")
			var out bytes.Buffer
			err := page.Execute(&out, struct{ Page, Language string }{name, languageOf(r)})
			if err != nil {
				s.fail(w, r, err)
				return
			}
			_, _ = w.Write(out.Bytes())
		})
	}
	mux.HandleFunc("GET /static/{file...}", func(w http.ResponseWriter, r *http.Request) {
		a, found := assets[r.PathValue("file")]
		if !found {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", a.kind)
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("ETag", a.tag)
		if r.Header.Get("If-None-Match") == a.tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		_, _ = w.Write(a.content)
	})
	return nil
}

// turnAway sends a person who is to log in where that is done.
func (s *Server) turnAway(w http.ResponseWriter, r *http.Request, err error) {
	if s.access.Token == "" {
		s.fail(w, r, err)
		return
	}
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}

// languageOf is the language chosen on the page, or else the browser's.
func languageOf(r *http.Request) string {
	chosen := ""
	if cookie, err := r.Cookie(languageCookie); err == nil {
		chosen = cookie.Value
	}
	_, index := language.MatchStrings(languages, chosen, r.Header.Get("Accept-Language"))
	return []string{"en", "zh-CN"}[index]
}

func readAssets() (map[string]asset, error) {
	assets := map[string]asset{}
	err := fs.WalkDir(web, "web/static", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := web.ReadFile(name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(content)
		kind := mime.TypeByExtension(path.Ext(name))
		if path.Ext(name) == ".js" { // the system's own table may be wrong
			kind = "text/javascript; charset=utf-8"
		}
		assets[strings.TrimPrefix(name, "web/static/")] = asset{content, kind, `"` + hex.EncodeToString(sum[:8]) + `"`}
		return nil
	})
	return assets, err
}

// headers sets what every answer has.
func headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		next.ServeHTTP(w, r)
	})
}
