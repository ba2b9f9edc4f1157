package alert

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	netmail "net/mail"
	"net/textproto"
	"os"
	"strings"
	"time"

	"github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"

	"github.com/barograph/barograph/internal/secret"
	"github.com/barograph/barograph/news"
)

// EmailConfig is how to send e-mail: Host, From, and To or channels in the routes.
type EmailConfig struct {
	Host     string        `yaml:"host"`
	Port     int           `yaml:"port"` // 0 = 587, with implicit TLS 465
	TLS      string        `yaml:"tls"`  // starttls, implicit, or none (for a server on this machine); "" = starttls
	CAFile   string        `yaml:"ca_file"`
	Username string        `yaml:"username"` // "" = no authentication
	Password secret.Secret `yaml:"password"`
	From     string        `yaml:"from"`    // "Barograph <barograph@example.com>"
	To       []string      `yaml:"to"`      // of alerts whose route names no channel
	Timeout  news.Duration `yaml:"timeout"` // of connecting, and of sending; 0 = 10 s

	Log *slog.Logger `yaml:"-"` // nil = slog.Default()
}

// Email is the sink that sends e-mail, as text and HTML: a thread an alert, with a message
// when it fires, escalates and is resolved. A message that may have been sent before has the
// same Message-ID, by which most receivers drop the second. It is sent once the server takes one
// of its recipients: those refused, gone from the company perhaps, are logged.
type Email struct {
	cfg    EmailConfig
	from   *netmail.Address
	domain string // of Message-IDs
	tls    *tls.Config
}

// NewEmail checks the configuration and reads CAFile. It makes no network call.
func NewEmail(cfg EmailConfig) (*Email, error) {
	e := &Email{cfg: cfg}
	var err error
	switch {
	case cfg.Host == "":
		return nil, errors.New("email: no host")
	case cfg.TLS != "" && cfg.TLS != "starttls" && cfg.TLS != "implicit" && cfg.TLS != "none":
		return nil, fmt.Errorf("email: tls %q: want starttls, implicit or none", cfg.TLS)
	case cfg.TLS == "none" && cfg.Password != "":
		return nil, errors.New("email: a password is not sent without TLS: set tls to starttls or implicit")
	case (cfg.Username == "") != (cfg.Password == ""):
		return nil, errors.New("email: username and password go together")
	case cfg.Port < 0 || cfg.Port > 65535:
		return nil, fmt.Errorf("email: port %d is none", cfg.Port)
	case cfg.Timeout < 0:
		return nil, fmt.Errorf("email: timeout %s is negative", cfg.Timeout)
	}
	if e.from, err = netmail.ParseAddress(cfg.From); err != nil {
		return nil, fmt.Errorf("email: from %q is no address: %w", cfg.From, err)
	}
	for _, to := range cfg.To {
		if _, err := netmail.ParseAddress(to); err != nil {
			return nil, fmt.Errorf("email: to: %q is no address: %w", to, err)
		}
	}
	_, e.domain, _ = strings.Cut(e.from.Address, "@")
	if e.tls, err = emailTLS(cfg); err != nil {
		return nil, err
	}
	orElse(&e.cfg.TLS, "starttls")
	orElse(&e.cfg.Timeout, news.Duration(10*time.Second))
	orElse(&e.cfg.Log, slog.Default())
	if e.cfg.Port == 0 {
		e.cfg.Port = 587
		if e.cfg.TLS == "implicit" {
			e.cfg.Port = 465
		}
	}
	return e, nil
}

func emailTLS(cfg EmailConfig) (*tls.Config, error) {
	config := &tls.Config{ServerName: cfg.Host, MinVersion: tls.VersionTLS12}
	if cfg.CAFile == "" {
		return config, nil
	}
	pem, err := os.ReadFile(cfg.CAFile)
	if err != nil {
		return nil, fmt.Errorf("email: ca_file: %w", err)
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("email: ca_file: no certificate in PEM form in %s", cfg.CAFile)
	}
	return config, nil
}

// Check takes addresses, separated by commas, or none where the sink has its own.
func (e *Email) Check(channel string) error {
	if channel == "" && len(e.cfg.To) == 0 {
		return errors.New("no address: set the sink's to, or the route's channel to addresses")
	}
	if channel == "" {
		return nil
	}
	if _, err := netmail.ParseAddressList(channel); err != nil {
		return fmt.Errorf("channel %q is no list of addresses: %w", channel, err)
	}
	return nil
}

// Edits reports that a message stays as it was sent.
func (e *Email) Edits() bool { return false }

// Verify connects and authenticates.
func (e *Email) Verify(ctx context.Context) error {
	server, err := e.dial(ctx)
	if err != nil {
		return err
	}
	defer server.Close()
	return server.Quit()
}

// Deliver sends a message. Ref is the Message-ID of the alert's first one and its severity
// then, which the thread's subject keeps.
func (e *Email) Deliver(ctx context.Context, d Delivery) (string, error) {
	if d.Action == Annotate {
		return d.Ref, nil
	}
	root, severity, follows := strings.Cut(d.Ref, " ")
	message, id, err := e.message(d, root, cmp.Or(severity, string(d.Alert.Severity)))
	if err != nil {
		return d.Ref, &DeliveryError{Err: fmt.Errorf("email: %w", err), Hopeless: true}
	}
	server, err := e.dial(ctx)
	if err != nil {
		return d.Ref, err
	}
	defer server.Close()
	if err := e.send(server, message, d.Alert.ID); err != nil {
		return d.Ref, err
	}
	_ = server.Quit() // it has the message
	if follows {
		return d.Ref, nil
	}
	return id + " " + string(d.Alert.Severity), nil
}

func (e *Email) dial(ctx context.Context) (*smtp.Client, error) {
	// Sending does not look at ctx: half of what is left is for connecting, half for that.
	timeout := time.Duration(e.cfg.Timeout)
	if deadline, bounded := ctx.Deadline(); bounded {
		timeout = max(1, min(timeout, time.Until(deadline)/2))
	}
	options := []mail.Option{mail.WithPort(e.cfg.Port), mail.WithTimeout(timeout), mail.WithTLSConfig(e.tls)}
	switch e.cfg.TLS {
	case "implicit":
		options = append(options, mail.WithSSL())
	case "none":
		options = append(options, mail.WithTLSPolicy(mail.NoTLS))
	default:
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory))
	}
	if e.cfg.Username != "" {
		options = append(options, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover),
			mail.WithUsername(e.cfg.Username), mail.WithPassword(e.cfg.Password.Reveal()))
	}
	client, err := mail.NewClient(e.cfg.Host, options...)
	if err != nil {
		return nil, &DeliveryError{Err: fmt.Errorf("email: %w", err), Refused: true, Misplaced: true}
	}
	server, err := client.DialToSMTPClientWithContext(ctx)
	if err == nil {
		err = server.UpdateDeadline(timeout)
	}
	if err != nil {
		return nil, &DeliveryError{Err: fmt.Errorf("email: connecting to %s: %w", e.cfg.Host, err), Refused: true, Misplaced: codeOf(err) >= 500}
	}
	return server, nil
}

// send gives a message to the server for those of its recipients that it takes.
func (e *Email) send(server *smtp.Client, m *mail.Msg, alert string) error {
	from, noSender := m.GetSender(false)
	recipients, nobody := m.GetRecipients()
	if err := errors.Join(noSender, nobody); err != nil {
		return &DeliveryError{Err: fmt.Errorf("email: %w", err), Hopeless: true}
	}
	if err := server.Mail(from); err != nil {
		return unaddressed(from, err)
	}
	var refused error
	left := len(recipients)
	for _, to := range recipients {
		err := server.Rcpt(to)
		if err == nil {
			continue
		}
		if refused = unaddressed(to, err); codeOf(err) < 500 {
			return refused // the connection broke, or it may be taken later: then all are tried again
		}
		left--
		e.cfg.Log.Warn("a recipient of an alert's e-mail was refused", "alert", alert, "error", refused)
	}
	if left == 0 {
		return refused
	}
	return sendText(server, m)
}

// unaddressed is a refused sender or recipient: people's to mend.
func unaddressed(address string, err error) error {
	return &DeliveryError{Err: fmt.Errorf("email: %s: %w", address, err), Refused: true, Misplaced: codeOf(err) >= 500}
}

// sendText sends what recipients were taken for. A refused text will never be taken; what broke
// once it was under way may have arrived.
func sendText(server *smtp.Client, m *mail.Msg) error {
	text, err := server.Data()
	underWay := err == nil
	if err == nil {
		if _, err = m.WriteTo(text); err == nil {
			err = text.Close()
		}
	}
	if err == nil {
		return nil
	}
	code := codeOf(err)
	return &DeliveryError{Err: fmt.Errorf("email: %w", err), Refused: !underWay || code >= 400, Hopeless: code >= 500}
}

// codeOf is the server's reply code in an error; 0 = it has said nothing.
func codeOf(err error) int {
	var said *textproto.Error
	if !errors.As(err, &said) {
		return 0
	}
	return said.Code
}

// message is a delivery as e-mail, and its Message-ID.
func (e *Email) message(d Delivery, root, severity string) (*mail.Msg, string, error) {
	m := mail.NewMsg()
	m.FromMailAddress(e.from)
	to := strings.Join(e.cfg.To, ", ")
	if d.Channel != "" {
		to = d.Channel
	}
	if err := m.ToFromString(to); err != nil {
		return nil, "", err
	}
	sum := sha256.Sum256([]byte(d.Key() + "\n" + to))
	id := d.Alert.ID + "." + hex.EncodeToString(sum[:6]) + "@" + e.domain
	m.SetMessageIDWithValue(id)
	subject := emailSubject(d, severity)
	if root != "" {
		subject = "Re: " + subject
		m.SetGenHeader(mail.HeaderInReplyTo, "<"+root+">")
		m.SetGenHeader(mail.HeaderReferences, "<"+root+">")
	}
	m.Subject(subject)
	m.SetDateWithValue(d.QueuedAt)
	if d.Alert.Severity == news.Critical && d.Alert.Status == news.Firing {
		m.SetImportance(mail.ImportanceHigh)
	}
	m.SetGenHeader("Auto-Submitted", "auto-generated")
	html, err := emailHTML(d)
	if err != nil {
		return nil, "", err
	}
	m.SetBodyString(mail.TypeTextPlain, emailText(d))
	m.AddAlternativeString(mail.TypeTextHTML, html)
	return m, id, nil
}
