package kernels

// Use is use.
var Use = use
