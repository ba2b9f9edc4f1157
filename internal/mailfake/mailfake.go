// Package mailfake is a mail server for tests: real SMTP (go-smtp) with STARTTLS or implicit
// TLS under a certificate of its own, and authentication.
package mailfake

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/mail"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// User and Password are the ones that the server takes.
const (
	User     = "barograph"
	Password = "correct horse"
)

// Server is a mail server. Its methods may be called while it serves.
type Server struct {
	Host   string // 127.0.0.1
	Port   int
	CAFile string // of the certificate

	mu       sync.Mutex
	messages []Message
	refusals []*smtp.SMTPError
}

// Message is what was sent.
type Message struct {
	From string
	To   []string
	*mail.Message
	Content string // of the body
}

// Start serves until the test ends, with implicit TLS or STARTTLS.
func Start(t testing.TB, implicit bool) *Server {
	t.Helper()
	certificate, caFile := certify(t)
	s := &Server{Host: "127.0.0.1", CAFile: caFile}
	config := &tls.Config{Certificates: []tls.Certificate{certificate}}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Port = listener.Addr().(*net.TCPAddr).Port
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &session{server: s}, nil }))
	server.Domain, server.TLSConfig, server.ErrorLog = "mail.example", config, quiet{}
	if implicit {
		listener = tls.NewListener(listener, config)
	}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return s
}

// Refuse makes the next messages fail with these codes, after their text was sent.
func (s *Server) Refuse(codes ...int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, code := range codes {
		s.refusals = append(s.refusals, &smtp.SMTPError{Code: code, Message: "refused by the test"})
	}
}

// Messages are those that were taken.
func (s *Server) Messages() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Message(nil), s.messages...)
}

// quiet drops what the server would log: tests make it fail.
type quiet struct{}

// Printf implements smtp.Logger.
func (quiet) Printf(string, ...any) {}

// Println implements smtp.Logger.
func (quiet) Println(...any) {}

// session is one conversation with the server. Its methods implement smtp.AuthSession.
type session struct {
	server *Server
	known  bool
	from   string
	to     []string
}

// AuthMechanisms says that only PLAIN is known.
func (c *session) AuthMechanisms() []string { return []string{sasl.Plain} }

// Auth lets in User with Password.
func (c *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != User || password != Password {
			return &smtp.SMTPError{Code: 535, Message: "authentication failed"}
		}
		c.known = true
		return nil
	}), nil
}

// Mail takes a sender from who is known.
func (c *session) Mail(from string, _ *smtp.MailOptions) error {
	if !c.known {
		return smtp.ErrAuthRequired
	}
	c.from = from
	return nil
}

// Rcpt takes any recipient but nobody@example.com, and later@example.com not yet.
func (c *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	switch to {
	case "nobody@example.com":
		return &smtp.SMTPError{Code: 550, Message: "no such mailbox"}
	case "later@example.com":
		return &smtp.SMTPError{Code: 451, Message: "greylisted, come again"}
	}
	c.to = append(c.to, to)
	return nil
}

// Data keeps the message, or gives the next of the refusals.
func (c *session) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return &smtp.SMTPError{Code: 554, Message: "not a message"}
	}
	content, err := io.ReadAll(m.Body)
	if err != nil {
		return err
	}
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	if len(c.server.refusals) > 0 {
		refusal := c.server.refusals[0]
		c.server.refusals = c.server.refusals[1:]
		return refusal
	}
	c.server.messages = append(c.server.messages, Message{From: c.from, To: c.to, Message: m, Content: string(content)})
	return nil
}

// Reset begins another message.
func (c *session) Reset() { c.from, c.to = "", nil }

// Logout implements smtp.Session.
func (c *session) Logout() error { return nil }

// certify makes a certificate of 127.0.0.1 that vouches for itself.
func certify(t testing.TB) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mail.example"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, path
}
