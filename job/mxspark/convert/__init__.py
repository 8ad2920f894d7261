"""Other formats of networks, as an MXNet symbol and parameters: ONNX. The only place that imports onnx and onnxruntime."""
