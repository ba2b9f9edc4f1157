package bert

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
