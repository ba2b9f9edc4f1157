package hub

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/barograph/barograph/internal/hubfake"
	"github.com/barograph/barograph/internal/retry"
	"github.com/barograph/barograph/internal/secret"
)

const repo = "ProsusAI/finbert"

// finbert is a model with the files of a real one, its weights of 100 kB.
func finbert() *hubfake.Model {
	weights := make([]byte, 100_000)
	for i, random := 0, rand.New(rand.NewPCG(1, 2)); i < len(weights); i++ {
		weights[i] = byte(random.Uint32())
	}
	return &hubfake.Model{Large: []string{"model.safetensors"}, Revisions: []string{"refs/pr/3"}, Files: map[string][]byte{
		"config.json": []byte(`{"id2label":{}}`), "vocab.txt": []byte("[PAD]\n"), "tokenizer_config.json": []byte("{}"), "README.md": []byte("# FinBERT\n"),
		"model.safetensors": weights, "pytorch_model.bin": []byte("pickle"), "flax_model.msgpack": []byte("x"), ".gitattributes": []byte("x"),
	}}
}

func client(t *testing.T, s *hubfake.Server, change func(*Config)) *Client {
	t.Helper()
	c := Config{Endpoint: s.URL, Retry: retry.Policy{First: time.Millisecond, Max: time.Millisecond}, Log: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&c)
	}
	made, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// pull finds and fetches the model at main.
func pull(t *testing.T, c *Client, dir string) error {
	t.Helper()
	s, err := c.Find(t.Context(), Reference{repo, "main"})
	if err != nil {
		return err
	}
	return c.Fetch(t.Context(), s, dir)
}

// holds fails the test unless the folder has the files of the model that a bundle needs, and
// no other.
func holds(t *testing.T, dir string, m *hubfake.Model) {
	t.Helper()
	want := []string{"README.md", "config.json", "model.safetensors", "tokenizer_config.json", "vocab.txt"}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
		if got, err := os.ReadFile(filepath.Join(dir, e.Name())); err != nil || !bytes.Equal(got, m.Files[e.Name()]) {
			t.Errorf("%s has other bytes (%v)", e.Name(), err)
		}
	}
	if !slices.Equal(names, want) {
		t.Errorf("the files are %v, want %v", names, want)
	}
}

func TestPull(t *testing.T) {
	for name, change := range map[string]func(*hubfake.Model){
		"as the hub does":             func(*hubfake.Model) {},
		"a mirror without digests":    func(m *hubfake.Model) { m.NoDigests = true },
		"too many requests":           func(m *hubfake.Model) { m.Busy = 3 },
		"cut off three times":         func(m *hubfake.Model) { m.CutAfter, m.Cuts = 30_000, 3 },
		"cut off again and again":     func(m *hubfake.Model) { m.CutAfter, m.Cuts = 7_000, -1 },
		"cut off, ranges are ignored": func(m *hubfake.Model) { m.CutAfter, m.Cuts, m.NoRanges = 30_000, 3, true },
	} {
		t.Run(name, func(t *testing.T) {
			m := finbert()
			change(m)
			s := hubfake.Start(t, map[string]*hubfake.Model{repo: m})
			var came int64
			dir := filepath.Join(t.TempDir(), "new")
			if err := pull(t, client(t, s, func(c *Config) { c.Progress = func(_ string, n int64) { came += n } }), dir); err != nil {
				t.Fatal(err)
			}
			holds(t, dir, m)
			if size := int64(100_000); came < size {
				t.Errorf("progress told of %d bytes, want %d and more", came, size)
			}
		})
	}
}

// TestAnInterruptedPullGoesOn: a later call asks only for what is missing.
func TestAnInterruptedPullGoesOn(t *testing.T) {
	m := finbert()
	m.CutAfter, m.Cuts = 60_000, -1
	s := hubfake.Start(t, map[string]*hubfake.Model{repo: m})
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	stop := func(_ string, n int64) {
		if n > 0 && sizeOf(filepath.Join(dir, "model.safetensors"+partly)) >= 30_000 {
			cancel()
		}
	}
	c := client(t, s, func(c *Config) { c.Progress = stop })
	found, err := c.Find(ctx, Reference{repo, "main"})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Fetch(ctx, found, dir); !errors.Is(err, context.Canceled) {
		t.Fatalf("the first call: %v", err)
	}
	have := sizeOf(filepath.Join(dir, "model.safetensors"+partly))
	if have == 0 || have >= 100_000 {
		t.Fatalf("the first call left %d bytes", have)
	}
	s.Change(repo, func(m *hubfake.Model) { m.Cuts = 0 })
	before := len(s.Requests())
	if err := pull(t, client(t, s, nil), dir); err != nil {
		t.Fatal(err)
	}
	holds(t, dir, m)
	for _, r := range s.Requests()[before:] {
		if strings.HasSuffix(r.Path, "model.safetensors") && r.Range == "" {
			t.Errorf("it asked for all of %s", r.Path)
		}
		if strings.HasSuffix(r.Path, "/config.json") {
			t.Errorf("it asked again for %s", r.Path)
		}
	}
}

func TestWhatAnEarlierCallLeftMayBeWrong(t *testing.T) {
	m := finbert()
	s := hubfake.Start(t, map[string]*hubfake.Model{repo: m})
	for name, left := range map[string][]byte{"other bytes": make([]byte, 5000), "all of it, wrong": make([]byte, 100_000), "too much": make([]byte, 200_000)} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "model.safetensors"+partly), left, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "vocab.txt"), []byte("another file"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := pull(t, client(t, s, nil), dir); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		holds(t, dir, m)
	}
}

func TestWhatIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		model  func(*hubfake.Model)
		config func(*Config)
		want   error
	}{
		"wrong bytes":              {model: func(m *hubfake.Model) { m.Wrong = true }, want: ErrDigest},
		"more bytes than said":     {model: func(m *hubfake.Model) { m.Endless = true }, want: ErrSize},
		"a file over the limit":    {config: func(c *Config) { c.MaxFile = 99_999 }, want: ErrSize},
		"a size beyond all":        {model: func(m *hubfake.Model) { m.Lying = 1 << 60 }, want: ErrSize},
		"nothing comes":            {model: func(m *hubfake.Model) { m.Silent = true }, config: func(c *Config) { c.Stall, c.Retry.Attempts = 20*time.Millisecond, 2 }, want: errStalled},
		"a path upwards":           {model: func(m *hubfake.Model) { m.Files["../../model.safetensors"] = []byte("x") }, want: ErrFiles},
		"an absolute path":         {model: func(m *hubfake.Model) { m.Files["/etc/config.json"] = []byte("x") }, want: ErrFiles},
		"a path of another system": {model: func(m *hubfake.Model) { m.Files[`..\config.json`] = []byte("x") }, want: ErrFiles},
		"weights only as a pickle": {model: func(m *hubfake.Model) { delete(m.Files, "model.safetensors") }, want: ErrFiles},
		"no weights at all":        {model: func(m *hubfake.Model) { m.Files = map[string][]byte{"config.json": []byte("{}")} }, want: ErrFiles},
		"weights in several files": {model: func(m *hubfake.Model) {
			delete(m.Files, "model.safetensors")
			m.Files["model.safetensors.index.json"] = nil
		}, want: ErrFiles},
		"no tokenizer":              {model: func(m *hubfake.Model) { delete(m.Files, "vocab.txt") }, want: ErrFiles},
		"no config":                 {model: func(m *hubfake.Model) { delete(m.Files, "config.json") }, want: ErrFiles},
		"gated, without a token":    {model: func(m *hubfake.Model) { m.Gated = true }, want: ErrAccess},
		"gated, with a wrong token": {model: func(m *hubfake.Model) { m.Gated = true }, config: func(c *Config) { c.Token = "hf_other" }, want: ErrAccess},
		"busy without end":          {model: func(m *hubfake.Model) { m.Busy = 1 << 30 }, want: nil}, // any error
		"something that is no hub":  {config: func(c *Config) { c.Endpoint += "/elsewhere" }, want: ErrAccess},
		"a hub that is not there":   {config: func(c *Config) { c.Endpoint = "http://127.0.0.1:1" }, want: nil},
		"digests nowhere to be had": {model: func(m *hubfake.Model) { m.NoDigests, m.Bare = true, true }, want: ErrEndpoint},
	} {
		t.Run(name, func(t *testing.T) {
			m := finbert()
			if c.model != nil {
				c.model(m)
			}
			s := hubfake.Start(t, map[string]*hubfake.Model{repo: m})
			dir := t.TempDir()
			err := pull(t, client(t, s, c.config), dir)
			if err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if _, there := os.Stat(filepath.Join(dir, "model.safetensors")); there == nil {
				t.Error("the weights are there all the same")
			}
			if err != nil && (strings.Contains(err.Error(), "Signature") || strings.Contains(err.Error(), "hf_")) {
				t.Errorf("the error shows a secret: %v", err)
			}
		})
	}
}

func TestModelsThatAreNotThere(t *testing.T) {
	s := hubfake.Start(t, map[string]*hubfake.Model{repo: finbert()})
	c := client(t, s, nil)
	if _, err := c.Find(t.Context(), Reference{"nobody/nothing", "main"}); !errors.Is(err, ErrAccess) { // the hub does not tell
		t.Errorf("no such model: %v", err)
	}
	if _, err := c.Find(t.Context(), Reference{repo, "v9"}); !errors.Is(err, ErrNotFound) {
		t.Errorf("no such revision: %v", err)
	}
	if found, err := c.Find(t.Context(), Reference{repo, "refs/pr/3"}); err != nil || found.Commit != hubfake.Commit {
		t.Errorf("a pull request: %v", err)
	}
}

// TestTheTokenStaysWithTheEndpoint: the second server gets none, and nothing shows it.
func TestTheTokenStaysWithTheEndpoint(t *testing.T) {
	m := finbert()
	m.Gated = true
	s := hubfake.Start(t, map[string]*hubfake.Model{repo: m})
	var logged bytes.Buffer
	c := client(t, s, func(c *Config) {
		c.Token, c.Log = hubfake.Token, slog.New(slog.NewTextHandler(&logged, nil))
		c.Retry.OnRetry = func(err error) { _, _ = io.WriteString(&logged, err.Error()) }
	})
	s.Change(repo, func(m *hubfake.Model) { m.CutAfter, m.Cuts = 9000, -1 })
	if err := pull(t, c, t.TempDir()); err != nil {
		t.Fatal(err)
	}
	far := 0
	for _, r := range s.Requests() {
		if r.CDN {
			far++
		}
		if (r.Authorization == "Bearer "+hubfake.Token) == r.CDN {
			t.Errorf("%s with authorization %q", r.Path, r.Authorization)
		}
	}
	if far == 0 {
		t.Error("nothing was redirected")
	}
	if strings.Contains(logged.String(), hubfake.Token) || strings.Contains(logged.String(), "Signature") {
		t.Errorf("the log shows a secret:\n%s", logged.String())
	}
}

func TestAPickleNamesTheWayOut(t *testing.T) {
	m := finbert()
	delete(m.Files, "model.safetensors")
	m.Bot = 21
	s := hubfake.Start(t, map[string]*hubfake.Model{repo: m})
	_, err := client(t, s, nil).Find(t.Context(), Reference{repo, "main"})
	if err == nil || !strings.Contains(err.Error(), repo+"@refs/pr/21") {
		t.Errorf("got %v, want the bot's pull request", err)
	}
	s.Change(repo, func(m *hubfake.Model) { m.Bot = 0 })
	if _, err = client(t, s, nil).Find(t.Context(), Reference{repo, "main"}); err == nil || strings.Contains(err.Error(), "refs/pr/1") {
		t.Errorf("got %v: anybody may open a pull request of that title", err)
	}
}

func TestWhichFilesAreTaken(t *testing.T) {
	for want, files := range map[string]string{
		"config.json model.safetensors tokenizer.json":                       "config.json model.safetensors tokenizer.json tf_model.h5 onnx/model.onnx",
		"config.json adapter_config.json adapter_model.safetensors":          "config.json adapter_config.json adapter_model.safetensors",
		"config.json onnx/model.onnx tokenizer.json":                         "config.json onnx/model.onnx tokenizer.json pytorch_model.bin",
		"config.json model.onnx tokenizer.json":                              "config.json model.onnx tokenizer.json",
		"config.json model.safetensors vocab.txt heads.safetensors":          "heads.safetensors config.json model.safetensors vocab.txt",
		"config.json model.safetensors tokenizer.json tokenizer_config.json": "tokenizer_config.json tokenizer.json config.json model.safetensors sub/config.json",
	} {
		byName := map[string]sibling{}
		for _, name := range strings.Fields(files) {
			byName[name] = sibling{Name: name}
		}
		if got, err := choose(byName); err != nil || strings.Join(got, " ") != want {
			t.Errorf("of %s it takes %v, %v", files, got, err)
		}
	}
}

func TestReferences(t *testing.T) {
	for text, want := range map[string]Reference{
		"ProsusAI/finbert":           {"ProsusAI/finbert", "main"},
		"ProsusAI/finbert@refs/pr/3": {"ProsusAI/finbert", "refs/pr/3"},
		"bert-base-uncased@v1.0":     {"bert-base-uncased", "v1.0"},
		"":                           {}, "a/b/c": {}, "../x": {}, "a/..": {}, "a/b@": {}, "a/b@../../x": {}, "a/b@x y": {}, "a b/c": {}, "a/b?x": {}, "a/b#x": {},
	} {
		got, err := ParseReference(text)
		if got != want || (err != nil) != (want == Reference{}) || err != nil && !errors.Is(err, ErrReference) {
			t.Errorf("%q: got %v, %v", text, got, err)
		}
	}
}

func TestEndpoints(t *testing.T) {
	for endpoint, c := range map[string]struct {
		token secret.Secret
		fine  bool
	}{
		"": {"", true}, "https://mirror.example/hf": {"t", true}, "http://mirror.example": {"", true}, "http://localhost:8080": {"t", true},
		"http://other.example": {"t", false}, "ftp://x": {"", false}, "mirror.example": {"", false}, "https://user:pass@x.example": {"", false},
	} {
		if _, err := New(Config{Endpoint: endpoint, Token: c.token}); (err == nil) != c.fine || err != nil && !errors.Is(err, ErrEndpoint) {
			t.Errorf("%q: %v", endpoint, err)
		}
	}
}
