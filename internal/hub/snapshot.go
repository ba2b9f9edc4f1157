package hub

import (
	"context"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"strconv"
	"strings"

	"github.com/barograph/barograph/internal/retry"
)

// Snapshot is a model at one commit: the files that a bundle needs of it.
type Snapshot struct {
	Reference
	Commit string
	Files  []File
}

// Size is the bytes of all files.
func (s *Snapshot) Size() (total int64) {
	for _, f := range s.Files {
		total += f.Size
	}
	return total
}

// File is a file of a snapshot.
type File struct {
	Name   string // in the repository
	As     string // in the bundle
	Size   int64
	SHA256 string // hex; of a file in large-file storage
	Blob   string // git's id, for the others: SHA-1 of "blob SIZE\x00" and the content
}

// answer is what the endpoint says of a model.
type answer struct {
	SHA      string    `json:"sha"`
	Siblings []sibling `json:"siblings"`
}

type sibling struct {
	Name string `json:"rfilename"`
	Size *int64 `json:"size"`
	Blob string `json:"blobId"`
	LFS  *struct {
		SHA256 string `json:"sha256"`
		Size   int64  `json:"size"`
	} `json:"lfs"`
}

// Find asks what the model consists of and chooses the files that a bundle needs. Errors wrap
// ErrAccess, ErrNotFound, ErrFiles, ErrSize or ErrEndpoint.
func (c *Client) Find(ctx context.Context, r Reference) (*Snapshot, error) {
	var said answer
	if err := c.getJSON(ctx, c.address("api/models/"+r.Repo, "revision", r.Revision)+"?blobs=true", &said); err != nil {
		return nil, err
	}
	if len(said.SHA) != 40 || !isHex(said.SHA) {
		return nil, fmt.Errorf("%w: it names no commit for %s", ErrEndpoint, r)
	}
	byName := map[string]sibling{}
	for _, s := range said.Siblings {
		if !fs.ValidPath(s.Name) || strings.ContainsAny(s.Name, "\\\x00") {
			return nil, fmt.Errorf("%w: %s lists a file named %q, which leads out of its folder", ErrFiles, r, s.Name)
		}
		byName[s.Name] = s
	}
	chosen, err := choose(byName)
	if err != nil {
		if has(byName, pickled) {
			err = fmt.Errorf("%w; %s", err, c.conversion(ctx, r))
		}
		return nil, fmt.Errorf("%s: %w", r, err)
	}
	snapshot := &Snapshot{Reference: r, Commit: said.SHA}
	for _, name := range chosen {
		f, err := c.describe(ctx, snapshot, byName[name])
		if err != nil {
			return nil, err
		}
		snapshot.Files = append(snapshot.Files, f)
	}
	return snapshot, nil
}

// describe knows a file's size and digest, from the listing or else from the file's own headers.
func (c *Client) describe(ctx context.Context, s *Snapshot, of sibling) (File, error) {
	f := File{Name: of.Name, As: of.Name[strings.LastIndexByte(of.Name, '/')+1:], Size: -1}
	if of.Size != nil {
		f.Size = *of.Size
	}
	if of.LFS != nil {
		f.Size, f.SHA256 = of.LFS.Size, strings.ToLower(of.LFS.SHA256)
	} else {
		f.Blob = strings.ToLower(of.Blob)
	}
	if f.Size < 0 || f.SHA256 == "" && f.Blob == "" {
		if err := c.askHeaders(ctx, s, &f); err != nil {
			return f, err
		}
	}
	switch {
	case len(f.SHA256) != 64 && len(f.Blob) != 40 || !isHex(f.SHA256+f.Blob):
		return f, fmt.Errorf("%w: it gives no digest for %s of %s, so that nothing could be checked", ErrEndpoint, f.Name, s.Reference)
	case f.Size < 0 || f.Size > c.config.MaxFile:
		return f, fmt.Errorf("%w: %s of %s has %d bytes, at most %d are taken", ErrSize, f.Name, s.Reference, f.Size, c.config.MaxFile)
	}
	return f, nil
}

// askHeaders takes size and digest from where the endpoint answers for the file itself: a
// redirect to where the bytes are says them as X-Linked-Size and X-Linked-Etag.
func (c *Client) askHeaders(ctx context.Context, s *Snapshot, f *File) error {
	asking := *c.http
	asking.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	address := c.fileAddress(s, *f)
	return retry.Do(ctx, c.config.Retry, func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodHead, address, nil)
		if err != nil {
			return retry.Permanent(err)
		}
		request.Header.Set("Accept-Encoding", "identity")
		response, err := asking.Do(request)
		if err != nil {
			return fmt.Errorf("%s: %w", address, withoutAddress(err))
		}
		defer response.Body.Close()
		if response.StatusCode >= 400 {
			return c.refusal(address, response)
		}
		size, etag := response.Header.Get("X-Linked-Size"), response.Header.Get("X-Linked-Etag")
		if size == "" && response.StatusCode/100 == 2 {
			size = response.Header.Get("Content-Length")
		}
		if etag == "" && response.StatusCode/100 == 2 {
			etag = response.Header.Get("ETag")
		}
		if f.Size, err = strconv.ParseInt(size, 10, 64); err != nil {
			f.Size = -1
		}
		f.SHA256, f.Blob = "", ""
		switch etag = strings.ToLower(strings.Trim(strings.TrimPrefix(etag, "W/"), `"`)); len(etag) {
		case 64:
			f.SHA256 = etag
		case 40:
			f.Blob = etag
		}
		return nil
	})
}

func (c *Client) fileAddress(s *Snapshot, f File) string {
	return c.address(s.Repo, append([]string{"resolve", s.Commit}, strings.Split(f.Name, "/")...)...)
}

const pickled = "pytorch_model.bin"

// choose picks what a bundle needs: the config, one kind of weights, and the tokenizer.
func choose(files map[string]sibling) ([]string, error) {
	chosen := []string{"config.json"}
	if !has(files, "config.json") {
		return nil, fmt.Errorf("%w: it has no config.json", ErrFiles)
	}
	tokenizer := true
	switch {
	case has(files, "model.safetensors"):
		chosen = append(chosen, "model.safetensors")
	case has(files, "adapter_model.safetensors") && has(files, "adapter_config.json"):
		chosen = append(chosen, "adapter_config.json", "adapter_model.safetensors")
		tokenizer = false // the base's will do
	case has(files, "model.safetensors.index.json"):
		return nil, fmt.Errorf("%w: its weights are in several files, which no BERT's are: save it as one model.safetensors", ErrFiles)
	case has(files, "model.onnx"):
		chosen = append(chosen, "model.onnx")
	case has(files, "onnx/model.onnx") && !has(files, "onnx/model.onnx_data"):
		chosen = append(chosen, "onnx/model.onnx")
	case has(files, pickled):
		return nil, fmt.Errorf("%w: its weights are only in %s, which can run code when it is read", ErrFiles, pickled)
	default:
		return nil, fmt.Errorf("%w: it has no model.safetensors, no adapter and no model.onnx", ErrFiles)
	}
	if tokenizer && !has(files, "tokenizer.json") && !has(files, "vocab.txt") {
		return nil, fmt.Errorf("%w: it has no tokenizer.json and no vocab.txt", ErrFiles)
	}
	for _, name := range []string{"tokenizer.json", "tokenizer_config.json", "vocab.txt", "heads.safetensors", "README.md"} {
		if has(files, name) {
			chosen = append(chosen, name)
		}
	}
	return chosen, nil
}

func has(files map[string]sibling, name string) bool {
	_, ok := files[name]
	return ok
}

// conversion says how to come by weights in safetensors: the hub's own bot opens a pull
// request that adds them to models that have none.
func (c *Client) conversion(ctx context.Context, r Reference) string {
	var said struct {
		Discussions []struct {
			Number int    `json:"num"`
			Title  string `json:"title"`
			Status string `json:"status"`
			Pull   bool   `json:"isPullRequest"`
			Author struct {
				Name string `json:"name"`
			} `json:"author"`
		} `json:"discussions"`
	}
	if err := c.getJSON(ctx, c.address("api/models/"+r.Repo, "discussions")+"?p=0&type=pull_request", &said); err == nil {
		for _, d := range said.Discussions {
			if d.Pull && d.Status == "open" && d.Author.Name == "SFconvertbot" && strings.Contains(d.Title, "safetensors") {
				return fmt.Sprintf("the hub's bot has converted it: pull %s@refs/pr/%d", r.Repo, d.Number)
			}
		}
	}
	return "look on the model's page for a pull request with model.safetensors and pull it as " + r.Repo + "@refs/pr/NUMBER, or convert it with transformers (save_pretrained)"
}

func isHex(s string) bool {
	_, err := hex.DecodeString(s)
	return err == nil && s != ""
}
