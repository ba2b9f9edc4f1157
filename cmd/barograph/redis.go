package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/barograph/barograph/internal/secret"
)

// openRedis prepares a client of one Redis or of a Redis Cluster. It makes no network call.
// Commands are tried again by the stages, after the one policy, and not by the client.
func openRedis(c redisConfig) (redis.UniversalClient, error) {
	if err := secret.Check("redis", c); err != nil {
		return nil, err
	}
	options := &redis.UniversalOptions{
		Addrs: c.Addresses, Username: c.Username, Password: c.Password.Reveal(), DB: c.DB, ClientName: "barograph",
		IsClusterMode: c.Cluster || len(c.Addresses) > 1,
		DialTimeout:   5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second,
		MaxRetries: -1, ContextTimeoutEnabled: true,
	}
	if c.TLS || c.CAFile != "" {
		options.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("redis.ca_file: %w", err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return nil, errors.New("redis.ca_file: no certificate in PEM form in " + c.CAFile)
		}
		options.TLSConfig.RootCAs = roots
	}
	return redis.NewUniversalClient(options), nil
}
