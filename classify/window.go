package classify

// overlap is how many tokens neighbouring windows of a long text share, so that what is
// said across a cut is read whole once.
const overlap = 64

// window is a stretch of a text's tokens that the model reads at once.
type window struct{ start, end int }

// windows cuts n tokens into stretches of at most size tokens. Neighbours share shared
// tokens (fewer than size); the last window is full and may share more.
func windows(n, size, shared int) []window {
	if n <= size {
		return []window{{0, n}}
	}
	shared = min(shared, size/2)
	var out []window
	for start := 0; ; start += size - shared {
		if start+size >= n {
			return append(out, window{n - size, n})
		}
		out = append(out, window{start, start + size})
	}
}

// weights says what share each window has in the reading of the whole text: the tokens it
// is the first to read, so that each token counts once. They sum to 1.
func weights(windows []window) []float64 {
	out := make([]float64, len(windows))
	last := windows[len(windows)-1].end
	if last == 0 {
		out[0] = 1
		return out
	}
	read := 0
	for i, w := range windows {
		out[i] = float64(w.end-read) / float64(last)
		read = w.end
	}
	return out
}
