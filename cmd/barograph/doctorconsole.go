package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"time"
)

// lookAtConsole says before the start what the start would refuse, and who may see the console.
func lookAtConsole(ctx context.Context, c consoleConfig) (string, error) {
	access, err := c.access()
	if err != nil {
		return "", err
	}
	if err := access.Check(c.Listen); err != nil {
		return "", err
	}
	open := "whoever is on this machine"
	switch {
	case c.Token != "" && c.TrustedHeader != "":
		open = "who has the token, or is named by a trusted proxy in " + c.TrustedHeader
	case c.Token != "":
		open = "who has the token"
	case c.TrustedHeader != "":
		open = "who is named by a trusted proxy in " + c.TrustedHeader
	}
	finding := fmt.Sprintf("on %s, for %s", c.Listen, open)
	if c.PublicURL == "" {
		finding += "\nno public_url: alerts do not link to it"
	}
	listener, err := net.Listen("tcp", c.Listen)
	switch {
	case err == nil:
		return finding, listener.Close()
	case errors.Is(err, syscall.EADDRINUSE) && monitorAt(ctx, c.Listen):
		return finding + "\na monitor serves there already: a second one here needs another address", nil
	}
	return "", faultWithAdvice{err, "console.listen is an address of this machine that nothing else listens on; choose another"}
}

// monitorAt reports whether what listens on an address of this machine is a monitor's console.
func monitorAt(ctx context.Context, address string) bool {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/metrics", nil)
	if err != nil {
		return false
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // by no proxy: it is this machine
	answer, err := client.Do(request)
	if err != nil {
		return false
	}
	defer answer.Body.Close()
	metrics, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	return err == nil && bytes.Contains(metrics, []byte("\nbarograph_"))
}
