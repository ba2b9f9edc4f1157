// Command screenshots makes the pictures in docs/images, of the console and of an alert in Slack:
// it runs `barograph demo` beside a fake Slack, waits for its alert to grow, and looks at both by
// headless Chromium.
//
//	go run ./bench/screenshots
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/chromedp/chromedp"
)

func main() {
	log.SetFlags(0)
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	if err := run(ctx); err != nil {
		log.Fatalln("screenshots:", err)
	}
}

func run(ctx context.Context) error {
	slack := startChat()
	defer slack.web.Close()
	base, stop, err := startDemo(ctx, slack.environment())
	if err != nil {
		return err
	}
	defer stop()
	alert, err := grownAlert(ctx, base)
	if err != nil {
		return err
	}
	allocator, cancel := chromedp.NewExecAllocator(ctx, append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox)...)
	defer cancel()
	tab, cancel := chromedp.NewContext(allocator)
	defer cancel()
	picture, err := slack.picture(tab) // before the spike is over
	if err != nil {
		return fmt.Errorf("the message in Slack: %w", err)
	}
	if err := save("slack", picture); err != nil {
		return err
	}
	for _, p := range []struct {
		name, path, language, theme string
		width, height               int64
	}{
		{"console-overview", "/", "en", "light", 1200, 860},
		{"console-overview-chinese", "/", "zh-CN", "light", 1200, 860},
		{"console-alert", "/a/" + alert, "en", "light", 1200, 1080},
		{"console-series-dark", "/s/BA?range=6h", "en", "dark", 1200, 860},
		{"console-phone", "/", "en", "light", 390, 844},
	} {
		set := fmt.Sprintf("document.cookie = 'barograph_language=%s; path=/'; localStorage.setItem('barograph_theme', %q)", p.language, p.theme)
		err := chromedp.Do(tab, chromedp.EmulateViewport(p.width, p.height), chromedp.Navigate(base+"/login"), chromedp.Evaluate[chromedp.Void](set),
			chromedp.Navigate(base+p.path),
			discard(chromedp.Poll[bool]("document.querySelectorAll('.alert, .item').length > 0 && document.querySelectorAll('table.series tr, .u-over').length > 0", patient)))
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		picture, err := chromedp.Run(tab, chromedp.CaptureScreenshot())
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		if err := save(p.name, picture); err != nil {
			return err
		}
	}
	return nil
}

func save(name string, picture []byte) error {
	path := filepath.Join("docs", "images", name+".png")
	fmt.Println(path, len(picture), "bytes")
	return os.WriteFile(path, picture, 0o644)
}

// patient: a machine that is busy draws slowly.
var patient = chromedp.WithPollingTimeout(2 * time.Minute)

// discard makes an action of one whose value does not matter.
func discard[T any](action chromedp.Action[T]) chromedp.Action[chromedp.Void] {
	return func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := action(ctx, t)
		return chromedp.Void{}, err
	}
}

// startDemo runs the demo and gives the console's address, which it prints first.
func startDemo(ctx context.Context, environment []string) (base string, stop func(), err error) {
	demo := exec.CommandContext(ctx, "bin/barograph", "demo")
	demo.Env = environment
	said, err := demo.StdoutPipe()
	if err == nil {
		err = demo.Start()
	}
	if err != nil {
		return "", nil, fmt.Errorf("starting the demo (make build makes it): %w", err)
	}
	stop = func() { _ = demo.Process.Kill(); _ = demo.Wait() }
	lines := bufio.NewScanner(said)
	for lines.Scan() {
		if _, address, found := strings.Cut(lines.Text(), "Console: "); found {
			go func() { _, _ = io.Copy(io.Discard, said) }()
			return address, stop, nil
		}
	}
	stop()
	return "", nil, fmt.Errorf("the demo ended without an address: %w", lines.Err())
}

// grownAlert waits for an alert of fourteen negative texts and gives its ID.
func grownAlert(ctx context.Context, base string) (string, error) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		var answer struct {
			Alerts []struct {
				ID       string
				Negative int
			}
		}
		if response, err := http.Get(base + "/api/v1/alerts?status=firing"); err == nil {
			err = json.NewDecoder(response.Body).Decode(&answer)
			response.Body.Close()
			if err == nil && len(answer.Alerts) > 0 && answer.Alerts[0].Negative >= 14 {
				return answer.Alerts[0].ID, nil
			}
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("waiting for an alert: %w", ctx.Err())
		case <-tick.C:
		}
	}
}
