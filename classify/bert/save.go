package bert

import (
	"io"
	"strings"
)

// ReadTensors reads a safetensors file (F32, F16, BF16), names as they are. Tensors of
// other types are left out.
func ReadTensors(path string) (map[string]Tensor, error) {
	w, err := openWeights(path)
	if err != nil {
		return nil, err
	}
	defer w.close()
	out := map[string]Tensor{}
	for _, name := range w.names() {
		if !w.entries[name].isFloat() {
			continue
		}
		t, err := w.read(name)
		if err != nil {
			return nil, err
		}
		out[name] = Tensor{Shape: t.shape, Data: t.data}
	}
	return out, nil
}

// WriteTensors writes a safetensors file of float32 that transformers and peft open:
// equal tensors give equal bytes.
func WriteTensors(out io.Writer, tensors map[string]Tensor) error {
	own := make(map[string]tensor, len(tensors))
	for name, t := range tensors {
		own[name] = tensor{t.Shape, t.Data}
	}
	return writeSafetensors(out, own)
}

// Write writes the checkpoint as the model.safetensors of transformers'
// BertForSequenceClassification: the encoder's weights under "bert.", the first head's
// as classifier. The other heads (see HeadTensors) are for heads.safetensors.
func (c *Checkpoint) Write(out io.Writer) error {
	all := map[string]tensor{}
	for name, t := range c.weights.tensors {
		if !strings.HasPrefix(name, "classifier.") {
			all["bert."+name] = t
		}
	}
	if len(c.heads) > 0 {
		all["classifier.weight"], all["classifier.bias"] = c.heads[0].weight, c.heads[0].bias
	}
	return writeSafetensors(out, all)
}

// HeadTensors are the weights of the heads by task: TASK.weight [labels, hidden] and
// TASK.bias [labels], as heads.safetensors names them.
func (c *Checkpoint) HeadTensors() map[string]Tensor {
	out := map[string]Tensor{}
	for _, h := range c.heads {
		out[h.Task+".weight"] = Tensor{Shape: h.weight.shape, Data: h.weight.data}
		out[h.Task+".bias"] = Tensor{Shape: h.bias.shape, Data: h.bias.data}
	}
	return out
}
