// Package redisserver runs Debian's redis-server as a child process: for tests, and for
// benchmarks that are programs of their own. The child dies with this process.
package redisserver

import (
	"bytes"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

// Config says what to start.
type Config struct {
	Dir  string   // the server's working folder; must exist
	Port int      // 0 = a free port
	Args []string // further command line arguments, e.g. "--maxmemory", "100mb"
}

// Server is a running redis-server on loopback that writes nothing to disk.
type Server struct {
	Addr string // host:port; the same over restarts

	cfg  Config
	cmd  *exec.Cmd
	log  *bytes.Buffer
	done chan struct{} // closed when the child is gone
}

// startTimeout is generous: the machine may be busy with a build.
const startTimeout = 20 * time.Second

// Start starts a server and returns when it answers PING. A port that somebody else took
// meanwhile is replaced by another, unless Config.Port demands it.
func Start(cfg Config) (*Server, error) {
	for attempt := 1; ; attempt++ {
		port := cfg.Port
		if port == 0 {
			var err error
			if port, err = FreePort(); err != nil {
				return nil, err
			}
		}
		s := &Server{Addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), cfg: cfg}
		err := s.start()
		if err == nil {
			return s, nil
		}
		if cfg.Port != 0 || attempt == 3 {
			return nil, err
		}
	}
}

// FreePort asks the kernel for a loopback port that nobody listens on. It stays below
// 55536, because a cluster node also listens on its port plus 10,000.
func FreePort() (int, error) {
	for range 100 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return 0, fmt.Errorf("looking for a free port: %w", err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		l.Close()
		if port < 55536 {
			return port, nil
		}
	}
	return 0, fmt.Errorf("no free port below 55536 in 100 tries")
}

func (s *Server) start() error {
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		return fmt.Errorf("redis-server is not installed (Debian: apt-get install redis-server): %w", err)
	}
	_, port, _ := net.SplitHostPort(s.Addr)
	args := append([]string{"--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
		"--dir", s.cfg.Dir, "--pidfile", filepath.Join(s.cfg.Dir, "redis.pid")}, s.cfg.Args...)
	s.log = new(bytes.Buffer)
	s.cmd = exec.Command(binary, args...)
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	s.done = make(chan struct{})
	started := make(chan error, 1)
	go func() {
		// Linux sends the parent-death signal when the thread that forked ends, so that
		// thread is kept for as long as the child lives.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(s.done)
		err := s.cmd.Start()
		started <- err
		if err == nil {
			_ = s.cmd.Wait() // killed or not, gone is all that matters
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("starting %s: %w", binary, err)
	}
	return s.awaitPong()
}

func (s *Server) awaitPong() error {
	for deadline := time.Now().Add(startTimeout); time.Now().Before(deadline); {
		select {
		case <-s.done:
			return fmt.Errorf("redis-server on %s ended at once: %s", s.Addr, s.log)
		default:
		}
		if ping(s.Addr) {
			return nil
		}
		time.Sleep(5 * time.Millisecond)
	}
	s.Kill()
	return fmt.Errorf("redis-server on %s does not answer within %s: %s", s.Addr, startTimeout, s.log)
}

func ping(addr string) bool {
	conn, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return false
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		return false
	}
	var answer [7]byte
	n, _ := conn.Read(answer[:])
	return bytes.HasPrefix(answer[:n], []byte("+PONG"))
}

// Kill ends the server by SIGKILL and waits until it is gone: data, scripts and
// connections with it. Killing a dead server does nothing.
func (s *Server) Kill() {
	_ = s.cmd.Process.Kill()
	<-s.done
}

// Restart starts an empty server on the same port, killing the old one where it runs.
func (s *Server) Restart() error {
	s.Kill()
	return s.start()
}
