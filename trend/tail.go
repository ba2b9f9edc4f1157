package trend

import "math"

// negBinTail is P(X >= y) for a negative binomial X with the given mean and size
// (variance = mean + mean²/size); y > 0 may be a fraction.
//
// Source: DLMF 8.17 for the regularised incomplete beta function I, and the identity
// P(X >= y) = I_x(y, size) with x = mean/(mean+size).
func negBinTail(y, mean, size float64) float64 {
	return incompleteBeta(y, size, mean/(mean+size))
}

// logNegBin is log P(X = y) for a negative binomial X with the given mean and variance, which
// is above the mean.
func logNegBin(y, mean, variance float64) float64 {
	size := mean * mean / (variance - mean)
	return lgamma(y+size) - lgamma(size) - lgamma(y+1) - size*math.Log1p(mean/size) - y*math.Log1p(size/mean)
}

// incompleteBeta is the regularised incomplete beta function I_x(a, b) for a, b > 0, by
// Lentz's evaluation of the continued fraction (DLMF 8.17.22). The fraction converges in
// O(sqrt(max(a, b))) steps on the side of x it is used on; the other side goes by the
// symmetry I_x(a, b) = 1 - I_1-x(b, a). Small values keep their relative accuracy, which
// is what a tail probability needs.
func incompleteBeta(a, b, x float64) float64 {
	switch {
	case x <= 0:
		return 0
	case x >= 1:
		return 1
	case x > (a+1)/(a+b+2):
		return 1 - incompleteBeta(b, a, 1-x)
	}
	front := math.Exp(lgamma(a+b)-lgamma(a)-lgamma(b)+a*math.Log(x)+b*math.Log1p(-x)) / a
	if front == 0 {
		return 0
	}
	const tiny, precise = 1e-300, 1e-13
	awayFromZero := func(v float64) float64 {
		if math.Abs(v) < tiny {
			return tiny
		}
		return v
	}
	c := 1.0
	d := 1 / awayFromZero(1-(a+b)*x/(a+1))
	h := d
	step := func(coefficient float64) (change float64) {
		d = 1 / awayFromZero(1+coefficient*d)
		c = awayFromZero(1 + coefficient/c)
		h *= c * d
		return c * d
	}
	limit := 200 + 20*int(math.Sqrt(min(math.Max(a, b), 1e12)))
	for i := 1; i < limit; i++ {
		m := float64(i)
		step(m * (b - m) * x / ((a + 2*m - 1) * (a + 2*m)))
		if change := step(-(a + m) * (a + b + m) * x / ((a + 2*m) * (a + 2*m + 1))); math.Abs(change-1) < precise {
			break
		}
	}
	return front * h
}

func lgamma(x float64) float64 {
	v, _ := math.Lgamma(x)
	return v
}
