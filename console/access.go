package console

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/barograph/barograph/internal/secret"
)

// Access says who may see the console. The zero value lets in whoever reaches it, which is
// refused unless it listens on loopback only.
type Access struct {
	// Token lets in who knows it: as "Authorization: Bearer TOKEN", or typed into the page,
	// which gets a cookie for SessionLength.
	Token secret.Secret

	// TrustedHeader names the header in which a proxy that has asked for the name puts it, such
	// as X-Forwarded-User. It is believed from the addresses of TrustedProxies only; nil =
	// loopback.
	TrustedHeader  string
	TrustedProxies []netip.Prefix
}

// SessionLength is how long a log-in lasts.
const SessionLength = 12 * time.Hour

const (
	sessionCookie  = "barograph_session"
	minToken       = 16
	maxAuthor      = 64
	anonymousName  = "anonymous"
	tokenUserName  = "token"
	cookiePurpose  = "barograph console session\n"
	forwardedProto = "X-Forwarded-Proto"
)

// ErrOpen is wrapped by New's error about a console that all the network could read.
var ErrOpen = errors.New("the console would be open to the network")

// gate decides who is let in.
type gate struct {
	Access
	server *Server
	origin *http.CrossOriginProtection
	clock  func() time.Time
}

// Check says whether a console that listens on an address can have this access: New's own
// test, without the network.
func (a Access) Check(listen string) error {
	if a.Token != "" && len(a.Token.Reveal()) < minToken {
		return fmt.Errorf("console: the token has fewer than %d characters: take a longer one", minToken)
	}
	if a.Token == "" && a.TrustedHeader == "" && !loopback(listen) {
		return fmt.Errorf("console: %w: %s is not a loopback address; set console.token (env:NAME or file:PATH), or "+
			"console.trusted_header behind a proxy that logs people in, or listen on 127.0.0.1", ErrOpen, listen)
	}
	return nil
}

func newGate(a Access, listen string, server *Server) (*gate, error) {
	if err := a.Check(listen); err != nil {
		return nil, err
	}
	if a.TrustedProxies == nil {
		a.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	}
	return &gate{Access: a, server: server, origin: http.NewCrossOriginProtection(), clock: time.Now}, nil
}

// loopback reports whether host:port can be reached from this machine only.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

type userKey struct{}

// userOf is who makes the request, for what is written in their name.
func userOf(r *http.Request) string {
	name, _ := r.Context().Value(userKey{}).(string)
	return name
}

// wants lets those in who may be, and writes only from pages of this site.
func (g *gate) wants(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, err := g.user(r)
		if err == nil {
			err = g.sameSite(r)
		}
		if err != nil {
			g.server.fail(w, r, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), userKey{}, user)))
	})
}

// sameSite refuses what a page of another site asks a browser to send. Callers that are no
// browsers send neither Sec-Fetch-Site nor Origin and pass.
func (g *gate) sameSite(r *http.Request) error {
	if err := g.origin.Check(r); err != nil {
		return &problem{Status: http.StatusForbidden, Title: "Refused", Detail: "The request comes from a page of another site"}
	}
	return nil
}

// user says who makes the request.
func (g *gate) user(r *http.Request) (string, error) {
	if g.TrustedHeader != "" && g.fromProxy(r) {
		// Two of them: the proxy has added its own to the caller's, and either may stand first.
		if names := r.Header.Values(g.TrustedHeader); len(names) == 1 && plainName(names[0]) && len(names[0]) <= maxAuthor {
			return names[0], nil
		}
	}
	if g.Token != "" {
		if bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok && g.isToken(bearer) {
			return tokenUserName, nil
		}
		if cookie, err := r.Cookie(sessionCookie); err == nil && g.isSession(cookie.Value) {
			return tokenUserName, nil
		}
	}
	if g.Token != "" || g.TrustedHeader != "" {
		return "", &problem{Status: http.StatusUnauthorized, Title: "Log in first", Detail: "Send the console's token as a bearer token, or log in at /login"}
	}
	// Without a log-in, a page elsewhere could point a name of its own at this address (DNS
	// rebinding): only names of loopback are answered.
	if host := r.Host; !loopback(host) && !loopback(net.JoinHostPort(strings.Trim(host, "[]"), "80")) {
		return "", &problem{Status: http.StatusForbidden, Title: "Refused", Detail: "Without a token the console answers under localhost, 127.0.0.1 and [::1] only"}
	}
	return anonymousName, nil
}

func (g *gate) fromProxy(r *http.Request) bool {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	for _, prefix := range g.TrustedProxies {
		if prefix.Contains(from.Addr().Unmap()) {
			return true
		}
	}
	return false
}

func (g *gate) isToken(given string) bool {
	want, got := sha256.Sum256([]byte(g.Token.Reveal())), sha256.Sum256([]byte(given))
	return subtle.ConstantTimeCompare(want[:], got[:]) == 1
}

// newSession is a cookie's value that any replica with the token can check: when it ends,
// and the HMAC of that under the token.
func (g *gate) newSession(until time.Time) string {
	end := strconv.FormatInt(until.Unix(), 10)
	return end + "." + g.seal(end)
}

func (g *gate) seal(end string) string {
	mac := hmac.New(sha256.New, []byte(g.Token.Reveal()))
	mac.Write([]byte(cookiePurpose + end))
	return hex.EncodeToString(mac.Sum(nil))
}

func (g *gate) isSession(value string) bool {
	end, seal, _ := strings.Cut(value, ".")
	until, err := strconv.ParseInt(end, 10, 64)
	return err == nil && hmac.Equal([]byte(seal), []byte(g.seal(end))) && g.clock().Unix() < until
}

// session says who one is; it needs no access, so that the page can ask.
func (s *Server) session(r *http.Request) (any, error) {
	user, err := s.access.user(r)
	return struct {
		User     string `json:"user"`
		LoggedIn bool   `json:"logged_in"`
		Token    bool   `json:"token"` // one can log in with a token
	}{user, err == nil, s.access.Token != ""}, nil
}

// logIn takes the token and gives the cookie.
func (s *Server) logIn(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Token string `json:"token"`
	}
	err := s.access.sameSite(r)
	if err == nil {
		err = readBody(w, r, &body)
	}
	if err == nil && (s.access.Token == "" || !s.access.isToken(body.Token)) {
		err = &problem{Status: http.StatusUnauthorized, Title: "Not let in", Detail: "That is not the console's token"}
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	until := s.access.clock().Add(SessionLength)
	http.SetCookie(w, s.cookie(r, s.access.newSession(until), int(SessionLength.Seconds())))
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) logOut(w http.ResponseWriter, r *http.Request) {
	if err := s.access.sameSite(r); err != nil {
		s.fail(w, r, err)
		return
	}
	http.SetCookie(w, s.cookie(r, "", -1))
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) cookie(r *http.Request, value string, age int) *http.Cookie {
	return &http.Cookie{
		Name: sessionCookie, Value: value, Path: "/", MaxAge: age, HttpOnly: true, SameSite: http.SameSiteStrictMode,
		Secure: r.TLS != nil || s.access.fromProxy(r) && r.Header.Get(forwardedProto) == "https",
	}
}
