package onnxpb

// Keys of the metadata that classify/bert writes into a model and classify/onnx reads:
// what can be checked of a batch before it runs, and which outputs are heads.
const (
	MetaVocab     = "barograph.vocab_size"
	MetaTypes     = "barograph.type_vocab_size"
	MetaPositions = "barograph.max_positions"
	MetaHeads     = "barograph.heads" // the outputs' names, by commas
)
