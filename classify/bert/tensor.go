package bert

// Tensor is a weight in memory: float32, row major.
type Tensor struct {
	Shape []int
	Data  []float32
}
