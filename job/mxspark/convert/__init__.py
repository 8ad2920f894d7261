"""ONNX files as an MXNet symbol and parameters. The only place that imports onnx and onnxruntime."""
