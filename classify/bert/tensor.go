package bert

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// Tensor is a weight in memory: float32, row major.
type Tensor struct {
	Shape []int
	Data  []float32
}

// Tensor is a weight of the encoder or the pooler by its name in transformers' BertModel
// ("encoder.layer.0.attention.self.query.weight"), or of the first head by its name in
// BertForSequenceClassification ("classifier.weight"). Its data must not be changed.
func (c *Checkpoint) Tensor(name string) (Tensor, bool) {
	t, ok := c.weights.tensors[name]
	return Tensor{t.shape, t.data}, ok
}

// Tensors is all weights by the names that files have: those of model.safetensors
// ("bert.embeddings.word_embeddings.weight", "classifier.weight"), and heads for
// heads.safetensors ("topic.weight"). Their data must not be changed.
func (c *Checkpoint) Tensors() (model, heads map[string]Tensor) {
	model, heads = map[string]Tensor{}, map[string]Tensor{}
	for name, t := range c.weights.tensors {
		if !strings.HasPrefix(name, "classifier.") {
			model["bert."+name] = Tensor{t.shape, t.data}
		}
	}
	for i, h := range c.heads {
		set, name := heads, h.Task
		if i == 0 {
			set, name = model, "classifier"
		}
		set[name+".weight"] = Tensor{h.weight.shape, h.weight.data}
		set[name+".bias"] = Tensor{h.bias.shape, h.bias.data}
	}
	return model, heads
}

// WriteSafetensors writes weights in the safetensors format, as float32: equal weights give
// equal bytes. Those that are infinite or not a number are an error that wraps ErrCheckpoint.
func WriteSafetensors(out io.Writer, weights map[string]Tensor) error {
	tensors := map[string]tensor{}
	for _, name := range slices.Sorted(maps.Keys(weights)) {
		t := weights[name]
		for _, v := range t.Data {
			if v-v != 0 {
				return fmt.Errorf("%w: tensor %q holds %v", ErrCheckpoint, name, v)
			}
		}
		tensors[name] = tensor{t.Shape, t.Data}
	}
	return writeSafetensors(out, tensors)
}

// Linears are an encoder layer's linear layers, by their names within the layer.
func Linears() []string { return slices.Clone(linears) }

// LayerName is what names of the i-th encoder layer's weights begin with.
func LayerName(i int) string { return layerName(i) }

// Trained is the checkpoint with other heads and with some weights replaced, by the names
// that Tensor has for them; heads are by TASK.weight [labels, hidden] and TASK.bias
// [labels]. A pair NAME.lora_A.weight [rank, in] and NAME.lora_B.weight [out, rank] is
// added to NAME.weight, scaled, as merging an adapter does. The checkpoint itself does
// not change, and shares with the result what is not replaced.
func (c *Checkpoint) Trained(heads []Head, weights map[string]Tensor, scale float64) (*Checkpoint, error) {
	out := &Checkpoint{Config: c.Config, weights: weightSet{maps.Clone(c.weights.tensors), maps.Clone(c.weights.origin)}}
	out.Config.Labels = nil
	section := Bundle{}
	if c.Config.Barograph != nil {
		section = *c.Config.Barograph
	}
	section.Heads = slices.Clone(heads)
	out.Config.Barograph = &section
	if err := errors.Join(checkHeads(heads), out.Config.check()); err != nil {
		return nil, err
	}
	maps.DeleteFunc(out.weights.tensors, func(name string, _ tensor) bool { return strings.HasPrefix(name, "classifier.") })
	tasks := map[string]bool{}
	for _, h := range out.Config.Heads() {
		tasks[h.Task+".weight"], tasks[h.Task+".bias"] = true, true
		w, b := weights[h.Task+".weight"], weights[h.Task+".bias"]
		d := c.Config.HiddenSize
		if !slices.Equal(w.Shape, []int{len(h.Labels), d}) || !slices.Equal(b.Shape, []int{len(h.Labels)}) {
			return nil, fmt.Errorf("%w: head %s has weights %v and %v for %d labels on %d", ErrCheckpoint, h.Task, w.Shape, b.Shape, len(h.Labels), d)
		}
		out.heads = append(out.heads, loadedHead{h, tensor{w.Shape, w.Data}, tensor{b.Shape, b.Data}})
	}
	for _, name := range slices.Sorted(maps.Keys(weights)) {
		if tasks[name] {
			continue
		}
		if err := out.replace(name, weights, scale); err != nil {
			return nil, err
		}
	}
	return out, out.checkPooling("trained weights")
}

func (c *Checkpoint) replace(name string, weights map[string]Tensor, scale float64) error {
	t := weights[name]
	layer, isA := strings.CutSuffix(name, ".lora_A.weight")
	if other, ok := strings.CutSuffix(name, ".lora_B.weight"); ok {
		if _, ok := weights[other+".lora_A.weight"]; !ok {
			return fmt.Errorf("%w: %s has no lora_A", ErrCheckpoint, other)
		}
		return nil // merged with its A
	}
	if !isA {
		if old, ok := c.weights.tensors[name]; ok && !slices.Equal(old.shape, t.Shape) {
			return fmt.Errorf("%w: tensor %q has shape %v, the checkpoint's %v", ErrCheckpoint, name, t.Shape, old.shape)
		}
		c.weights.tensors[name] = tensor{t.Shape, t.Data}
		return nil
	}
	base, b := c.weights.tensors[layer+".weight"], weights[layer+".lora_B.weight"]
	if len(base.shape) != 2 || len(t.Shape) != 2 || t.Shape[1] != base.shape[1] || !slices.Equal(b.Shape, []int{base.shape[0], t.Shape[0]}) {
		return fmt.Errorf("%w: the pair %v and %v does not fit %s %v", ErrCheckpoint, t.Shape, b.Shape, layer, base.shape)
	}
	merged := tensor{base.shape, slices.Clone(base.data)}
	merged.addProduct(tensor{t.Shape, t.Data}, tensor{b.Shape, b.Data}, scale)
	c.weights.tensors[layer+".weight"] = merged
	return nil
}

// addProduct is t += scale B A in float32, as PEFT's merge does: t [out, in], a [rank,
// in], b [out, rank].
func (t tensor) addProduct(a, b tensor, scale float64) {
	rank, in := a.shape[0], a.shape[1]
	row := make([]float32, in)
	for o := range t.shape[0] {
		clear(row)
		for r := range rank {
			f := b.data[o*rank+r]
			for i, v := range a.data[r*in : (r+1)*in] {
				row[i] += f * v
			}
		}
		for i, v := range row {
			t.data[o*in+i] += float32(scale) * v
		}
	}
}

// EncoderNames lists the names of the embeddings' and the layers' weights that the
// checkpoint has, in a fixed order.
func (c *Checkpoint) EncoderNames() []string {
	names := c.Config.weightNames()
	if _, ok := c.weights.tensors[typeEmbeddings]; ok {
		names = append(names, typeEmbeddings)
	}
	return names
}
