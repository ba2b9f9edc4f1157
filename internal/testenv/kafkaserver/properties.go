package kafkaserver

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"net"
	"os"
	"slices"
	"strings"
	"time"
)

// configure chooses the ports and writes server.properties.
func (s *Server) configure() error {
	ports, err := freePorts(3)
	if err != nil {
		return err
	}
	s.Addr = fmt.Sprintf("127.0.0.1:%d", ports[0])
	controller := fmt.Sprintf("127.0.0.1:%d", ports[1])
	properties := map[string]string{
		"process.roles":                            "broker,controller",
		"node.id":                                  "1",
		"controller.quorum.voters":                 "1@" + controller,
		"controller.listener.names":                "CONTROLLER",
		"listeners":                                "PLAINTEXT://" + s.Addr + ",CONTROLLER://" + controller,
		"advertised.listeners":                     "PLAINTEXT://" + s.Addr,
		"listener.security.protocol.map":           "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL",
		"inter.broker.listener.name":               "PLAINTEXT",
		"log.dirs":                                 s.path("data"),
		"log.cleaner.dedupe.buffer.size":           "16777216",
		"group.initial.rebalance.delay.ms":         "0",
		"offsets.topic.num.partitions":             "1",
		"offsets.topic.replication.factor":         "1",
		"transaction.state.log.num.partitions":     "1",
		"transaction.state.log.replication.factor": "1",
		"transaction.state.log.min.isr":            "1",
		// Topics are made on purpose or not at all, so that a misspelt name shows.
		"auto.create.topics.enable": "false",
	}
	if len(s.cfg.Users) > 0 {
		s.SecureAddr = fmt.Sprintf("127.0.0.1:%d", ports[2])
		if err := s.secure(properties); err != nil {
			return err
		}
	}
	maps.Copy(properties, s.cfg.Properties)
	var text strings.Builder
	for _, key := range slices.Sorted(maps.Keys(properties)) {
		fmt.Fprintf(&text, "%s=%s\n", key, properties[key])
	}
	return os.WriteFile(s.path("server.properties"), []byte(text.String()), 0o600)
}

// secure adds the SASL_SSL listener with a certificate made for the occasion.
func (s *Server) secure(properties map[string]string) error {
	certificate, key, err := selfSigned()
	if err != nil {
		return err
	}
	s.CAFile = s.path("ca.pem")
	if err := os.WriteFile(s.CAFile, certificate, 0o644); err != nil {
		return err
	}
	keystore := s.path("keystore.pem")
	if err := os.WriteFile(keystore, append(key, certificate...), 0o600); err != nil {
		return err
	}
	var users strings.Builder
	for name, password := range s.cfg.Users {
		fmt.Fprintf(&users, " user_%s=\"%s\"", name, password)
	}
	const listener = "listener.name.secure."
	properties["listeners"] += ",SECURE://" + s.SecureAddr
	properties["advertised.listeners"] += ",SECURE://" + s.SecureAddr
	properties[listener+"ssl.keystore.type"] = "PEM"
	properties[listener+"ssl.keystore.location"] = keystore
	properties[listener+"sasl.enabled.mechanisms"] = "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512"
	properties[listener+"plain.sasl.jaas.config"] =
		"org.apache.kafka.common.security.plain.PlainLoginModule required" + users.String() + ";"
	for _, mechanism := range []string{"scram-sha-256", "scram-sha-512"} {
		properties[listener+mechanism+".sasl.jaas.config"] =
			"org.apache.kafka.common.security.scram.ScramLoginModule required;"
	}
	return nil
}

// selfSigned makes a certificate for 127.0.0.1 that is its own authority, and its key, in PEM.
func selfSigned() (certificate, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "kafkaserver"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		IsCA:                  true,
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		return nil, nil, err
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, nil, err
	}
	certificate = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	key = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded})
	return certificate, key, nil
}
