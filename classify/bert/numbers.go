package bert

import (
	"encoding/binary"
	"math"
)

// The number formats of weights on disk, all little endian.

func fromFloat32(raw []byte) []float32 {
	out := make([]float32, len(raw)/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	return out
}

func toFloat32(data []float32) []byte {
	out := make([]byte, 4*len(data))
	for i, v := range data {
		binary.LittleEndian.PutUint32(out[4*i:], math.Float32bits(v))
	}
	return out
}

// fromBrain reads bfloat16: the upper half of a float32.
func fromBrain(raw []byte) []float32 {
	out := make([]float32, len(raw)/2)
	for i := range out {
		out[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(raw[2*i:])) << 16)
	}
	return out
}

func fromHalf(raw []byte) []float32 {
	out := make([]float32, len(raw)/2)
	for i := range out {
		out[i] = halfToFloat(binary.LittleEndian.Uint16(raw[2*i:]))
	}
	return out
}

func toHalf(data []float32) []byte {
	out := make([]byte, 2*len(data))
	for i, v := range data {
		binary.LittleEndian.PutUint16(out[2*i:], floatToHalf(v))
	}
	return out
}

// halfToFloat widens IEEE 754 binary16, subnormals and infinities included.
func halfToFloat(h uint16) float32 {
	sign := uint32(h>>15) << 31
	exponent, fraction := uint32(h>>10&31), uint32(h&1023)
	switch exponent {
	case 0: // zero or subnormal: fraction times 2^-24, exact in float32
		return math.Float32frombits(sign | math.Float32bits(float32(fraction)/(1<<24)))
	case 31:
		return math.Float32frombits(sign | 255<<23 | fraction<<13)
	}
	return math.Float32frombits(sign | (exponent+127-15)<<23 | fraction<<13)
}

// floatToHalf rounds to the nearest binary16, ties to even; what is too large becomes
// an infinity.
func floatToHalf(f float32) uint16 {
	bits := math.Float32bits(f)
	sign := uint16(bits >> 31 << 15)
	magnitude := bits &^ (1 << 31)
	switch {
	case magnitude > 255<<23:
		return sign | 0x7e00 // not a number
	case magnitude >= 0x477ff000: // 65520 and more round up past the largest
		return sign | 0x7c00
	case magnitude < 113<<23: // under 2^-14: subnormal, in units of 2^-24
		return sign | uint16(math.RoundToEven(float64(math.Float32frombits(magnitude))*(1<<24)))
	}
	magnitude += 0xfff + magnitude>>13&1
	return sign | uint16((magnitude-(127-15)<<23)>>13)
}
