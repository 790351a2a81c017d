"""Programs that run exported models: LiteRT, onnxruntime, OpenVINO, and TensorFlow itself."""
