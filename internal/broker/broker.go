// Package broker connects to Kafka: the one place that knows addresses, TLS and SASL, and
// the settings of kafka-go that keep a message once it was accepted.
package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/barograph/barograph/internal/secret"
)

// Client holds the connections to one Kafka cluster. It is safe for concurrent use.
type Client struct {
	cfg       Config
	addr      net.Addr
	transport *kafka.Transport
	dialer    *kafka.Dialer
	client    *kafka.Client
}

// metadataTTL bounds the age of the cluster layout that requests are routed by, and so
// how long a client goes on asking a broker that has lost a partition.
const metadataTTL = 3 * time.Second

// New prepares a client; it connects on first use. Errors name what is wrong with the
// configuration: missing brokers, an unreadable certificate, an unknown mechanism, a password
// that is not there.
func New(cfg Config) (*Client, error) {
	if len(cfg.Brokers) == 0 {
		return nil, errors.New("kafka: no brokers configured")
	}
	if cfg.ClientID == "" {
		cfg.ClientID = "barograph"
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 10 * time.Second
	}
	if err := secret.Check("kafka", cfg); err != nil {
		return nil, err
	}
	secure, err := cfg.TLS.load()
	if err != nil {
		return nil, fmt.Errorf("kafka: tls: %w", err)
	}
	mechanism, err := cfg.SASL.mechanism()
	if err != nil {
		return nil, fmt.Errorf("kafka: sasl: %w", err)
	}
	c := &Client{cfg: cfg, addr: kafka.TCP(cfg.Brokers...)}
	c.transport = &kafka.Transport{ClientID: cfg.ClientID, TLS: secure, SASL: mechanism,
		DialTimeout: cfg.Timeout, MetadataTTL: metadataTTL}
	c.dialer = &kafka.Dialer{ClientID: cfg.ClientID, TLS: secure, SASLMechanism: mechanism,
		Timeout: cfg.Timeout, DualStack: true}
	c.client = &kafka.Client{Addr: c.addr, Transport: c.transport}
	return c, nil
}

// Close closes idle connections; those in use close when their request ends.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// Brokers lists the configured addresses.
func (c *Client) Brokers() []string { return slices.Clone(c.cfg.Brokers) }

// Timeout is the configured bound of one request.
func (c *Client) Timeout() time.Duration { return c.cfg.Timeout }

// Dialer is for kafka.ConsumerGroup, which does not use the client's connections.
func (c *Client) Dialer() *kafka.Dialer { return c.dialer }

// API speaks Kafka's protocol over the client's connections. Its calls have no timeout of
// their own: give them a context that has one.
func (c *Client) API() *kafka.Client { return c.client }

// Cause is an error of API without the name of kafka-go's function, which says nothing to those who
// read it.
func Cause(err error) error {
	if inner := errors.Unwrap(err); inner != nil && strings.HasPrefix(err.Error(), "kafka.(*Client).") {
		return inner
	}
	return err
}

// Cluster is what a Kafka cluster says of itself.
type Cluster struct {
	Brokers []string       // host:port as advertised, sorted
	Topics  map[string]int // partitions of each topic this user may see, internal ones left out
}

// Ping says what the cluster's brokers and topics are, and that a broker answers now. The
// list is at most some seconds old: kafka-go answers Metadata from what it last heard, also
// when nobody can be asked any more, so a request that it does not keep comes after. The
// error is the first that connecting met: refused, TLS, SASL.
func (c *Client) Ping(ctx context.Context) (Cluster, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	metadata, err := c.client.Metadata(ctx, &kafka.MetadataRequest{})
	if err != nil {
		return Cluster{}, fmt.Errorf("asking Kafka at %s for its topics: %w", c.addr, Cause(err))
	}
	if versions, err := c.client.ApiVersions(ctx, &kafka.ApiVersionsRequest{}); err != nil {
		return Cluster{}, fmt.Errorf("asking Kafka at %s whether it is there: %w", c.addr, Cause(err))
	} else if versions.Error != nil {
		return Cluster{}, fmt.Errorf("asking Kafka at %s whether it is there: %w", c.addr, versions.Error)
	}
	cluster := Cluster{Topics: map[string]int{}}
	for _, broker := range metadata.Brokers {
		cluster.Brokers = append(cluster.Brokers, net.JoinHostPort(broker.Host, fmt.Sprint(broker.Port)))
	}
	slices.Sort(cluster.Brokers)
	for _, topic := range metadata.Topics {
		if topic.Error == nil && !topic.Internal {
			cluster.Topics[topic.Name] = len(topic.Partitions)
		}
	}
	return cluster, nil
}
