package step

// remember moves the average of the weights towards them (Polyak and Juditsky 1992,
// "Acceleration of Stochastic Approximation by Averaging"; decaying, as Tarvainen and
// Valpola 2017, "Mean Teachers", section 2). Early on it forgets faster, so that it soon
// leaves the first values behind.
func (t *Trainer) remember() {
	if t.c.Average == 0 {
		return
	}
	n := float64(t.updates)
	keep := min(t.c.Average, n/(n+9))
	for i, v := range t.values {
		t.average[i] = float32(keep*float64(t.average[i]) + (1-keep)*float64(v))
	}
}

// learnt are the weights that training gives: their average, where one is kept.
func (t *Trainer) learnt() []float32 {
	if t.c.Average > 0 {
		return t.average
	}
	return t.values
}
