// Package kafkaserver runs a real Apache Kafka (KRaft, one node) as a child process on
// free loopback ports, for tests and benchmarks. It needs java on PATH and the jars that
// `make deps` fetches.
package kafkaserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
)

// Config says where the broker's files are and what it listens on.
type Config struct {
	Libs string // folder of Kafka's jars
	Dir  string // data, configuration and log; made when missing, kept afterwards

	// Users, when not empty, opens a second listener with TLS and SASL (PLAIN,
	// SCRAM-SHA-256 and SCRAM-SHA-512) for these names and passwords. Names and
	// passwords must be letters and digits.
	Users map[string]string

	// Properties are added to, and override, the server's properties.
	Properties map[string]string
}

// Server is a running broker. Its methods are for one goroutine at a time.
type Server struct {
	Addr       string // PLAINTEXT listener, host:port
	SecureAddr string // SASL_SSL listener; "" without users
	CAFile     string // certificate that the secure listener's is checked against; "" without users

	cfg     Config
	process *process
}

// startTimeout bounds one start; a cold JVM on a busy machine takes some 10 s.
const startTimeout = 90 * time.Second

// Start formats a new data folder and starts the broker on it. It returns when the
// broker answers; on error nothing is left running. Kill or Stop it afterwards. The
// broker dies with this process, however that ends.
func Start(cfg Config) (*Server, error) {
	if _, err := exec.LookPath("java"); err != nil {
		return nil, fmt.Errorf("starting Kafka: no java on PATH, install a JDK: %w", err)
	}
	if found, _ := filepath.Glob(filepath.Join(cfg.Libs, "kafka_*.jar")); len(found) == 0 {
		return nil, fmt.Errorf("starting Kafka: no Kafka jars in %s, run `make deps` first", cfg.Libs)
	}
	if err := os.MkdirAll(cfg.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("starting Kafka: %w", err)
	}
	s := &Server{cfg: cfg}
	if err := s.configure(); err != nil {
		return nil, fmt.Errorf("configuring Kafka: %w", err)
	}
	if err := s.format(); err != nil {
		return nil, fmt.Errorf("formatting Kafka's data folder: %w", err)
	}
	if err := s.launch(); err != nil {
		return nil, err
	}
	return s, nil
}

// Stop ends the broker as an operator would (SIGTERM) and waits for it, at most 20 s,
// then kills it. Nothing happens when it is not running.
func (s *Server) Stop() {
	if s.process == nil {
		return
	}
	s.process.terminate(20 * time.Second)
	s.process = nil
}

// Kill ends the broker by SIGKILL and waits until it is gone.
func (s *Server) Kill() {
	if s.process == nil {
		return
	}
	s.process.terminate(0)
	s.process = nil
}

// Restart starts the broker again on its ports and data, stopping it first where it
// still runs. It returns when the broker answers.
func (s *Server) Restart() error {
	s.Stop()
	return s.launch()
}

// Dir is the folder of the broker's data, configuration and log.
func (s *Server) Dir() string { return s.cfg.Dir }

// CreateTopic makes a topic with so many partitions.
func (s *Server) CreateTopic(ctx context.Context, topic string, partitions int) error {
	transport := &kafka.Transport{}
	defer transport.CloseIdleConnections()
	client := &kafka.Client{Addr: kafka.TCP(s.Addr), Timeout: 20 * time.Second, Transport: transport}
	res, err := client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{
		{Topic: topic, NumPartitions: partitions, ReplicationFactor: 1},
	}})
	if err == nil {
		err = res.Errors[topic]
	}
	if err != nil {
		return fmt.Errorf("creating topic %s: %w", topic, err)
	}
	return nil
}

// java runs one of Kafka's main classes with the flags that make a small JVM start fast.
func (s *Server) java(class string, args ...string) *exec.Cmd {
	flags := []string{
		"-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto",
		"-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
		"-cp", filepath.Join(s.cfg.Libs, "*"), class,
	}
	cmd := exec.Command("java", append(flags, args...)...)
	cmd.Dir = s.cfg.Dir
	return cmd
}

// format writes the data folder's identity and the SCRAM users.
func (s *Server) format() error {
	args := []string{"format", "--cluster-id", "AAAAAAAAAAAAAAAAAAAAAg", "--config", s.path("server.properties")}
	for name, password := range s.cfg.Users {
		for _, mechanism := range []string{"SCRAM-SHA-256", "SCRAM-SHA-512"} {
			args = append(args, "--add-scram", fmt.Sprintf("%s=[name=%s,password=%s]", mechanism, name, password))
		}
	}
	out, err := s.java("kafka.tools.StorageTool", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

// launch starts the process and waits until the broker answers a metadata request.
func (s *Server) launch() error {
	log, err := os.OpenFile(s.path("kafka.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("starting Kafka: %w", err)
	}
	defer log.Close()
	cmd := s.java("kafka.Kafka", s.path("server.properties"))
	cmd.Stdout, cmd.Stderr = log, log
	if s.process, err = start(cmd); err != nil {
		return fmt.Errorf("starting Kafka: %w", err)
	}
	deadline := time.Now().Add(startTimeout)
	for {
		err := answers(s.Addr)
		if err == nil {
			return nil
		}
		if s.process.ended() || time.Now().After(deadline) {
			s.Kill()
			return fmt.Errorf("starting Kafka: %w; its last words: %s", err, s.lastWords())
		}
		time.Sleep(50 * time.Millisecond)
	}
}

var errNoController = errors.New("no controller yet")

// answers reports whether the broker serves clients and has a controller.
func answers(addr string) error {
	dialer := &kafka.Dialer{Timeout: time.Second}
	conn, err := dialer.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	controller, err := conn.Controller()
	if err == nil && controller.Port == 0 {
		err = errNoController
	}
	return err
}

func (s *Server) path(name string) string { return filepath.Join(s.cfg.Dir, name) }

func (s *Server) lastWords() string {
	log, err := os.ReadFile(s.path("kafka.log"))
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(log[max(0, len(log)-2000):]))
}

// freePorts finds n loopback ports that nothing listens on.
func freePorts(n int) ([]int, error) {
	ports := make([]int, n)
	for i := range ports {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		// Held until all are found, or the same one would come twice.
		defer listener.Close()
		ports[i] = listener.Addr().(*net.TCPAddr).Port
	}
	return ports, nil
}
