package broker

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"

	"github.com/barograph/barograph/internal/secret"
)

// Config says how Kafka is reached. Only Brokers is required.
type Config struct {
	Brokers  []string      `yaml:"brokers"`   // host:port; any one that answers leads to the others
	ClientID string        `yaml:"client_id"` // shown in the brokers' logs and quotas; "" = barograph
	TLS      *TLSConfig    `yaml:"tls"`       // nil = no TLS
	SASL     *SASLConfig   `yaml:"sasl"`      // nil = no authentication
	Timeout  time.Duration `yaml:"timeout"`   // of connecting and of one request; 0 = 10 s
}

// TLSConfig says whom to trust. All fields may be empty: the system's authorities then.
type TLSConfig struct {
	CAFile             string `yaml:"ca_file"`              // PEM; "" = the system's authorities
	CertFile           string `yaml:"cert_file"`            // PEM, with KeyFile: this client's certificate
	KeyFile            string `yaml:"key_file"`             // PEM
	ServerName         string `yaml:"server_name"`          // "" = the broker's host name
	InsecureSkipVerify bool   `yaml:"insecure_skip_verify"` // trusts any broker; for trials only
}

// SASLConfig is a name and password and how they are shown to the broker.
type SASLConfig struct {
	Mechanism string        `yaml:"mechanism"` // plain, scram-sha-256 or scram-sha-512
	Username  string        `yaml:"username"`
	Password  secret.Secret `yaml:"password"`
}

// ErrMechanism is returned by New for a SASL mechanism that is not known.
var ErrMechanism = errors.New("unknown mechanism; known are plain, scram-sha-256 and scram-sha-512")

func (c *TLSConfig) load() (*tls.Config, error) {
	if c == nil {
		return nil, nil
	}
	secure := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.ServerName, InsecureSkipVerify: c.InsecureSkipVerify}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("ca_file: %w", err)
		}
		secure.RootCAs = x509.NewCertPool()
		if !secure.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ca_file %s: no certificate in PEM form in it", c.CAFile)
		}
	}
	if c.CertFile != "" || c.KeyFile != "" {
		pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("cert_file and key_file: %w", err)
		}
		secure.Certificates = []tls.Certificate{pair}
	}
	return secure, nil
}

func (c *SASLConfig) mechanism() (sasl.Mechanism, error) {
	if c == nil {
		return nil, nil
	}
	switch c.Mechanism {
	case "plain":
		return plain.Mechanism{Username: c.Username, Password: c.Password.Reveal()}, nil
	case "scram-sha-256":
		return scram.Mechanism(scram.SHA256, c.Username, c.Password.Reveal())
	case "scram-sha-512":
		return scram.Mechanism(scram.SHA512, c.Username, c.Password.Reveal())
	}
	return nil, fmt.Errorf("%q: %w", c.Mechanism, ErrMechanism)
}
